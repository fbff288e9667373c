"""Converts a data set's official files to shards that TFDS can read.

`image_builder.py` converts the data set that a module of `builders/` describes.
"""
