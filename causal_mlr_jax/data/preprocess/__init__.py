"""Image preprocessing ops, which `op_string.parse` reads from a string.

`ops.py` lists all ops. A new op is a function in that file or beside it, and a
line in `OPS`.
"""
