"""Readers of foreign file formats, which report what is wrong and where.

`raw_dataset.py` defines what builders make of the files. A new format gets a
file of its own here.
"""
