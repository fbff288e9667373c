"""The ops on images, written as a string: `op_string.parse`.

`ops.py` names them all; a new op is a function there or beside it, and a line
in `OPS`.
"""
