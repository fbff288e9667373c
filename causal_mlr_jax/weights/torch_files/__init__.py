"""PyTorch weight files, read without PyTorch and without running their code.

Other packages import only `reader.py`, which has `read` and `state_dict`.
"""
