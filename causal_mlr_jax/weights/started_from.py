"""The weights that training starts from: their check, and their description."""

from __future__ import annotations

import pathlib
from typing import Any

import ml_collections

from causal_mlr_jax.weights import backbone_weights, init_from, weight_sources

UNTRAINED = (
  "; backbone.frozen_batch_norm keeps its untrained statistics, which is of no "
  "use"
)
FIRST_STAGE = "the first training, where it has the same variable"


def check(config: ml_collections.ConfigDict) -> None:
  """Checks that the weights of the backbone exist, if they are read.

  With `init_from`, which also sets the backbone, `backbone.pretrained` is read
  only if `init_allow_missing` lets variables keep their values.

  Args:
    config: The configuration, see `configs/common.py`.

  Raises:
    UserError: The weights are missing.
  """
  if reads_pretrained(config):
    backbone_weights.source(config.backbone)


def reads_pretrained(config: ml_collections.ConfigDict) -> bool:
  """Returns whether `backbone.pretrained` determines any initial value."""
  return not config.init_from or bool(config.init_allow_missing)


def describe(
  config: ml_collections.ConfigDict, num_labels: int, first_stage: bool = False
) -> dict[str, Any]:
  """Returns what the parts of a model start from, JSON-serialisable.

  Args:
    config: The configuration, see `configs/common.py`.
    num_labels: Number of labels N.
    first_stage: Whether the method starts from its own first training.

  Raises:
    UserError: The weights are missing.
  """
  random = backbone_weights.RANDOM.format(seed=config.seed)
  found: dict[str, Any] = {"head": random}
  if reads_pretrained(config):
    found["backbone"] = backbone_weights.source(
      config.backbone, seed=config.seed
    )
    if (
      backbone_weights.is_random(config.backbone)
      and config.backbone.frozen_batch_norm
    ):
      found["backbone"] += UNTRAINED
  if first_stage:
    found = {part: f"{FIRST_STAGE}; else {x}" for part, x in found.items()}
  if not config.init_from:
    return found
  kind = init_from.kind_of(config, num_labels)
  path = pathlib.Path(config.init_from).expanduser()
  if kind == "run":
    given = f"the best checkpoint of the run in {path}"
  else:
    given = f"{path.name} {weight_sources.source(str(path))}"
  missing = list(config.init_allow_missing)
  if kind == "backbone":
    return found | {"backbone": given} | _missing(missing)
  order = config.init_label_order
  return {"model": given, "label_order": order} | _missing(missing)


def _missing(patterns: list[str]) -> dict[str, Any]:
  return {"may keep other values": patterns} if patterns else {}
