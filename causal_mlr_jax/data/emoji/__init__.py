"""The synthetic world of `context_emoji`: a known causal model and its images.

`structural_causal_model.py` has the mathematics, `worlds.py` the two worlds of
`builders/context_emoji.py`, and `drawing.py` draws the images.
"""
