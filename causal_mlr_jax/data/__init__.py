"""Data sets, preprocessing and the input pipeline.

`dataset.py` opens a prepared data set, `pipeline.py` makes batches of it. A new
data set is a file in `builders/`, a new file format one in `formats/`.
"""
