"""Readers of foreign files: each says what is wrong in them, and where.

`raw_dataset.py` is what builders make of them. A new format is a file here.
"""
