"""Questions asked of a data set or of a trained model, each in one folder.

A study has a folder with `check(config)`, which looks at its section of the
configuration, `run(...)`, which measures and writes, and a report. `run.py`
calls it under a mode of `modes.py`; a new study is a folder here, a mode and a
section in `configs/common.py`.
"""
