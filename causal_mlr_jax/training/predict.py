"""Scores of every example of a split, each computed exactly once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import cast

import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.types import Array, Batch, Method, Output, Side, Tree
from causal_mlr_jax.training.model import Model
from causal_mlr_jax.training.step import side_of


def make_predict_step(
  model: Model, method: Method, mesh: Mesh
) -> Callable[[Tree, Batch, Side], Array]:
  """Returns a compiled function (variables, batch, side) -> scores [B, N].

  The stages of a run ask for it one after another: it is the same function for
  an equal model, so that a network is compiled once.

  Args:
    model: The model.
    method: The method's module.
    mesh: The device mesh, from `parallel.make_mesh`.
  """
  try:
    hash(model)
  except TypeError:  # a field of somebody's own head may be a list
    return _make_predict_step(model, method, mesh)
  return _kept_predict_step(cast(Hashable, model), method, mesh)


def _make_predict_step(
  model: Model, method: Method, mesh: Mesh
) -> Callable[[Tree, Batch, Side], Array]:
  def predict(variables: Tree, batch: Batch, side: Side) -> Array:
    output = model.apply(
      variables, batch["image"], side_of(side, batch), train=False
    )
    return method.scores(cast(Output, output))

  replicated, sharded = parallel.REPLICATED, parallel.SHARDED
  return parallel.pmapped(
    predict, mesh, (replicated, sharded, replicated), sharded
  )


_kept_predict_step = functools.lru_cache(maxsize=4)(_make_predict_step)


def predict_split(
  predict_step: Callable[[Tree, Batch, Side], Array],
  variables: Tree,
  side: Side,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  mesh: Mesh,
  stage: str,
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the scores of a split.

  Args:
    predict_step: A function from `make_predict_step`.
    variables: The model's variables, replicated.
    side: The method's side inputs, replicated.
    batches: This process's part of the batches, from
      `pipeline.evaluation_batches`.
    size: Number of examples in the split.
    mesh: The device mesh, from `parallel.make_mesh`.
    stage: Name of the progress bar.

  Returns:
    Scores [size, N] and labels [size, N], in the order of the split.
  """
  done: list[tuple[np.ndarray, ...]] = []
  pending: tuple[Array, Batch] | None = None
  with progress.bar(stage, size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      scores = predict_step(variables, batch, side)
      # One batch is computed while the previous one is fetched.
      if pending is not None:
        done.append(_fetch(*pending))
        bar.advance(int(done[-1][2].sum()))
      pending = (scores, batch)
    if pending is not None:
      done.append(_fetch(*pending))
      bar.advance(int(done[-1][2].sum()))
  scores, labels, mask, index = map(np.concatenate, zip(*done, strict=True))
  keep = mask > 0
  order = np.argsort(index[keep], kind="stable")
  seen = index[keep][order]
  if not np.array_equal(seen, np.arange(size)):
    raise AssertionError(f"{stage}: {len(seen)} scores for {size} examples")
  return scores[keep][order], labels[keep][order]


def _fetch(scores: Array, batch: Batch) -> tuple[np.ndarray, ...]:
  values = (scores, batch["labels"], batch["mask"], batch["index"])
  return tuple(np.asarray(x) for x in parallel.to_host(values))


def evaluation_fields(use_ema: bool) -> tuple[str, str]:
  """Returns the names of the state's fields that hold the model's variables."""
  if use_ema:
    return "ema_params", "ema_model_state"
  return "params", "model_state"


def evaluation_variables(state: Tree, use_ema: bool) -> Tree:
  """Returns the model's variables in a training state, averaged or not."""
  params, rest = (getattr(state, name) for name in evaluation_fields(use_ema))
  return {"params": params, **rest}
