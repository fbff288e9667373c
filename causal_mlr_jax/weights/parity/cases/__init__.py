"""One module per kind of file, found by the beginning of the case's name.

A module for a method describes the method's head, see
`weights/parity/heads.py`. Any other module has `run(golden)`, which returns
our results by the file's keys.
`UNCHECKED` is a pattern of keys that have no counterpart in our code.
"""
