"""Published weights, read without torch and without running their code.

`init_from.py` puts weights into a model, `backbone_weights.py` into a backbone
alone; `check.py` compares with published code. A new layout of keys is a file
in `mapping/methods/` or `mapping/backbones/`.
"""
