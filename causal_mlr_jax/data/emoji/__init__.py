"""The embedded world: a known causal model, drawn as small images.

`structural_causal_model.py` holds the mathematics, `worlds.py` the two worlds
of `builders/context_emoji.py`, `drawing.py` the images.
"""
