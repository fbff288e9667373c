"""The stages of a run, one file a stage; `experiment.py` is what they share.

A stage is a function of the experiment, then of the data set, the side inputs
and the learner as far as it needs them. `run.py` puts stages together to modes.
A new stage is a file here, called from `run.py`.
"""
