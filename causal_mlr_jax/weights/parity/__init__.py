"""Parity with published implementations, by arrays that they computed.

`weights/check.py` runs it on files; a new kind of file is a module in `cases/`.
"""
