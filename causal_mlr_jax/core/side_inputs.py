"""Side inputs of a method, looked up by name."""

from __future__ import annotations

from typing import Any

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Side

# What makes each side input, for the message where it is missing.
MADE_BY = {
  "confounders": "run with --mode=confounders",
  "context_share": "train with the confounders of the training split, which "
  "--mode=confounders makes",
  "cooccurrence": "--mode=train counts it over the training labels",
  "label_embeddings": "--mode=train makes them from the training labels, or "
  "reads --config.side_inputs.glove",
  "biased_pairs": "they belong to the data set; --mode=train takes them there",
  "label_state": "--mode=train draws it, see --config.method.known_labels",
  "labels": "training alone has them, with --mode=train",
  "label_prototypes": "--mode=train makes them with a first training",
  "reference": "--mode=train makes it with a first training",
}


def need(side: Side, name: str) -> Any:
  """Returns a side input.

  Args:
    side: side inputs by name.
    name: one of `MADE_BY`.

  Raises:
    UserError: it is missing; the message says what makes it.
  """
  if name in side:
    return side[name]
  got = ", ".join(sorted(side)) or "none"
  raise UserError(
    f"The method needs the side input {name!r}, and it was given {got}: "
    f"{MADE_BY[name]}."
  )
