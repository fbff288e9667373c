"""Reports on the results of a run.

`summary.py` prints the table that a run ends with. Reports of a study are in
its folder in `studies/`, tables over several runs in `sweep/`.
"""
