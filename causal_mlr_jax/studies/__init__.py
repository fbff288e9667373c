"""Studies of a data set or of a trained model, each in one folder.

A study's folder has `check(config)`, which checks its section of the
configuration, `run(...)`, which measures and writes the results, and a report.
`run.py` calls it in a mode of `modes.py`. A new study needs a folder here, a
mode, and a section in `configs/common.py`.
"""
