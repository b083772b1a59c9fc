"""What a model is worth on a labelled folder or table: names to labels, files to answers, answers to figures."""
