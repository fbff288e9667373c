"""Mapping of PyTorch keys to our variables, one module per backbone.

Each module has `variable(key)`, which returns the path of our variable
("params/conv1/kernel"), or None if the key is not the backbone's; and
`IGNORED`, a pattern of keys that may be unused.
"""
