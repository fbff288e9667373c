"""Reads biased pairs, given as label names, from a `pairs.json` file."""

from __future__ import annotations

import dataclasses
import pathlib

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.data.dataset import Dataset


def with_pairs(dataset: Dataset, path: str) -> Dataset:
  """Returns the data set with the biased pairs of a file.

  Args:
    dataset: Prepared data set.
    path: Path of a file {"pairs": [{"label": b, "context": c}, ...]}.

  Raises:
    UserError: The file cannot be read, or names unknown labels.
  """
  file = pathlib.Path(path).expanduser()
  try:
    rows = atomic_files.read_json(file)["pairs"]
    pairs = [(str(row["label"]), str(row["context"])) for row in rows]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"data.pairs: cannot read {file}: {type(error).__name__}: {error}. "
      'Expected the pairs.json of --mode=audit: {"pairs": [{"label": ..., '
      '"context": ...}]}.'
    ) from error
  index = {label: i for i, label in enumerate(dataset.labels)}
  unknown = sorted({name for pair in pairs for name in pair} - index.keys())
  if unknown:
    raise UserError(
      f"data.pairs: {file} names labels that {dataset.name!r} does not have: "
      f"{', '.join(unknown[:10])}. Use the pairs.json of an audit of this data "
      "set."
    )
  return dataclasses.replace(
    dataset,
    biased_pairs=tuple((index[b], index[c]) for b, c in pairs),
    fingerprint=fingerprint(data=dataset.fingerprint, pairs=pairs),
  )
