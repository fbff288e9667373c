"""Methods: one file per paper; each method is found by its file name.

A file has `NEEDS` (names of side inputs), `MAPS` (what its maps of the labels
are), `Head` (a Flax module), `loss` and `scores`. A new method is a file here
and a line in `configs/registry.py`; parts that two methods share go to
`nn/heads/`.
"""
