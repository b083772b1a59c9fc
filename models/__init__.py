"""What learns: corpora, networks, training, export. `weights/` holds the shipped model and its card."""
