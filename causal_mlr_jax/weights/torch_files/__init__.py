"""PyTorch weight files, read without PyTorch and without running their code.

`reader.py` has `read` and `state_dict`, and is all that others import.
"""
