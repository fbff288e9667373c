"""On what terms a model may be used: those of its data, weights and program.

Nothing is guessed: what a data set's builder or the table of weights does not
say is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causal_mlr_jax.core import lookup
from causal_mlr_jax.data.dataset import BUILDERS
from causal_mlr_jax.training.model import find_method
from causal_mlr_jax.weights import weight_sources
from causal_mlr_jax.weights.backbone_weights import SCRATCH

PROGRAM = "Apache License 2.0"
UNKNOWN = "not known"


def of_run(config: Mapping[str, Any]) -> dict[str, str]:
  """Returns the licences of all that a model was made of, by what they are of.

  Args:
    config: The configuration of the run.
  """
  rows = {}
  for name in (config["data"]["name"], config["transfer"]["name"]):
    if name:
      rows[f"data: {name}"] = of_data(name)
  sections = {"weights that training began from": config["backbone"]}
  if "confounders" in find_method(config["method"]["name"]).NEEDS:
    network = config["confounders"]["backbone"]
    sections["weights that confounders were made with"] = network
  for what, section in sections.items():
    if section["pretrained"] not in ("", SCRATCH):
      rows[what] = weight_sources.licence(section["pretrained"])
  if config["init_from"]:
    rows["weights of the whole model"] = weight_sources.licence("")
  return rows | {"program": PROGRAM}


def of_data(name: str) -> str:
  """Returns on what terms a data set may be used, as far as it is known."""
  builder = lookup.module(BUILDERS, name)
  return " ".join(getattr(builder, "LICENCE", UNKNOWN).split())
