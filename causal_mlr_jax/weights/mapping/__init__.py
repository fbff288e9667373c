"""From the keys of published weights to our variables.

`convert.py` puts a backbone's arrays in their places, `published_methods.py`
those of whole methods. `backbones/` and `methods/` hold one file each for what
can be read; a new one is found by its file's name.
"""
