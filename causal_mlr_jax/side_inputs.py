"""Side inputs of a method, built once and kept with what they came from."""

from __future__ import annotations

import pathlib
from typing import Any

import jax

from causal_mlr_jax.confounders import build as confounders_lib
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Side
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.weights import initial
from causal_mlr_jax.workdir import as_json


def prepare_confounders(
  context: Context, dataset: Dataset, mode: str
) -> tuple[Side, dict[str, Any]]:
  """Builds the confounders unless they are there, if the method needs them.

  Returns:
    The method's side inputs, replicated, and tables of per-example side
    inputs for the training batches.
  """
  if "confounders" not in context.method.NEEDS:
    return {}, {}
  config, section = context.config, context.config.confounders
  with timed(context, "confounders"):
    weights = initial.source(section.backbone)
    key = confounders_lib.fingerprint_of(
      section,
      dataset,
      config.data.train_split,
      config.data.preprocess_evaluate,
      weights,
    )
    built = confounders_lib.load(context.workdir.confounders, section.prior)
    if built is not None and built.provenance["fingerprint"] != key:
      progress.say("confounders: made from other inputs, building them anew")
      built = None
    if built is None:
      if mode == "evaluate":
        raise UserError(
          f"The method {config.method.name!r} needs confounders, and "
          f"{context.workdir.confounders} has none that fit; make them with "
          "--mode=confounders, or train with --mode=train."
        )
      built = _build_confounders(context, dataset, weights, key)
  side = {"confounders": parallel.replicate(built.confounders, context.mesh)}
  return side, {"context_share": built.context_share}


def _build_confounders(
  context: Context, dataset: Dataset, weights: str, key: str
) -> confounders_lib.Built:
  """Builds confounders in the data folder's cache and links them here."""
  config, section = context.config, context.config.confounders
  folder = pathlib.Path(config.data.dir).expanduser().absolute()
  cache = folder / "confounders" / key
  built = confounders_lib.load(cache, section.prior)
  if built is None:
    confounders_lib.build(
      section,
      dataset,
      config.data.train_split,
      config.data.preprocess_evaluate,
      initial.frozen_variables(section.backbone, section.image_size),
      context.mesh,
      cache,
      {
        "fingerprint": key,
        "weights": weights,
        "data": dataset.fingerprint,
        "config": as_json(section),
      },
    )
    built = confounders_lib.load(cache, section.prior)
  if jax.process_index() == 0:
    confounders_lib.copy(cache, context.workdir.confounders)
  parallel.barrier("confounders")
  return built
