"""One data set per file; a data set is found by the name of its file.

A file is a TFDS `Builder`, or `read_source`, `LAYOUT` and `OPTIONS`, see
`data/convert/image_builder.py`; `LICENCE` says on what terms images and labels
may be used. A new data set also needs a file in `configs/`.
"""
