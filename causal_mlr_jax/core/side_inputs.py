"""Looks up the side inputs of a method by name."""

from __future__ import annotations

from typing import Any

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Side

# How to get each side input, for the message when it is missing.
MADE_BY = {
  "confounders": "run with --mode=confounders",
  "context_share": "train with the confounders of the training split, which "
  "--mode=confounders makes",
  "cooccurrence": "--mode=train counts it over the training labels",
  "label_embeddings": "--mode=train makes them from the training labels, or "
  "reads them from --config.side_inputs.glove",
  "biased_pairs": "--mode=train takes them from the data set",
  "label_state": "--mode=train draws it, see --config.method.known_labels",
  "labels": "only --mode=train provides them",
  "label_prototypes": "--mode=train makes them in a first training",
  "reference": "--mode=train makes it in a first training",
}


def need(side: Side, name: str) -> Any:
  """Returns a side input.

  Args:
    side: Side inputs by name.
    name: One of `MADE_BY`.

  Raises:
    UserError: It is missing; the message says how to get it.
  """
  if name in side:
    return side[name]
  got = ", ".join(sorted(side)) or "none"
  raise UserError(
    f"The method needs the side input {name!r}, but it was given {got}: "
    f"{MADE_BY[name]}."
  )
