"""Mapping from the keys of published weights to our variables.

`convert.py` converts the arrays of a backbone, `published_methods.py` those of
a whole method. `backbones/` and `methods/` have one file for each backbone and
method that can be read; a new one is found by its file name.
"""
