"""From folders of recordings to training scenes: ontology, split, corpus, rendering, augmentation, scenes."""
