"""Reports on the results of a run.

`summary.py` prints the table that a run ends with; `model_card.py` writes what
the model is, for people. Reports of a study are in its folder in `studies/`,
tables over several runs in `sweep/`.
"""
