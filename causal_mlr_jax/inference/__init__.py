"""A trained model in hand: loaded, applied to images, explained, exported.

`bundle.py` is what prediction needs of a run, and is read from its workdir or
from an exported folder; `trained_model.py` is what users hold. Nothing here
reads the training data. A new thing to do with a trained model goes here, and
becomes a mode in `modes.py` and `uses/use.py`.
"""
