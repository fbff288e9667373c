"""Model, optimiser, training step and loop, checkpoints and prediction.

`learner.py` puts them together for a configuration; the stages of a run use
it, `loop.fit`, `predict.py` and `checkpoint.py`. A new optimiser or schedule is
a function in `optimizer.py` or `schedules.py`.
"""
