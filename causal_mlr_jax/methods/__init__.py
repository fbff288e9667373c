"""One paper, one file; a method is found by its file's name."""
