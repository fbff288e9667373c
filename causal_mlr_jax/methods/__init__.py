"""Methods: one file per paper; each method is found by its file name."""
