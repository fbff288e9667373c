"""One data set per file; a data set is found by the name of its file."""
