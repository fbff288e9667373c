"""From a data set's official files to shards that TFDS can read.

`image_builder.py` is what a module of `builders/` is converted by.
"""
