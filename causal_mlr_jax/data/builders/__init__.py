"""One TFDS builder a file; a data set is found by its file's name."""
