"""One module a kind of file, found by the beginning of the case's name.

A method's head is described (see `parity/heads.py`); anything else has
`run(golden)`, which returns what we compute by the file's keys. `UNCHECKED`
is a pattern of keys that stand for nothing of ours.
"""
