"""Which PyTorch key is which of our variables: one module a backbone.

Each has `variable(key)`, the path of our variable ("params/conv1/kernel") or
None where the key is none of the backbone's, and `IGNORED`, a pattern of the
keys that may be left over.
"""
