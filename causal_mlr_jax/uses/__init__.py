"""What is done with the folder of a trained run alone.

These modes need no configuration and no data. `use.py` holds a function for
each; a new one goes there, with a line in `modes.py`.
"""
