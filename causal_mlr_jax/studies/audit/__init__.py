"""The audit: which labels of a data set lean on which others.

`run` trains a plain classifier and finds the pairs. `config_of` returns the
configuration of that training, and `FOLDER` is where it writes. The pairs are
found by `evaluation/biased_pairs.py`.
"""

from causal_mlr_jax.studies.audit.find_contexts import (
  FOLDER,
  check,
  config_of,
  run,
)

__all__ = ["FOLDER", "check", "config_of", "run"]
