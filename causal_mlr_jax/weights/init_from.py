"""Weights to start from (`--config.init_from`): those of a run or of a file.

A folder is the workdir of a run. A file is a published checkpoint: of the
method if it holds arrays of the method's head, else of a backbone.
"""

from __future__ import annotations

import copy
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from causal_mlr_jax.core import atomic_files as core_files
from causal_mlr_jax.core import lookup, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Side, Tree
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.predict import evaluation_fields
from causal_mlr_jax.weights import label_order, state_dict
from causal_mlr_jax.weights.mapping import convert, published_methods

ORDERS = ("auto", "dataset", "alphabetical")
# The data set of the published checkpoints whose order of labels is known.
ORDERED_DATA = "coco"


def check_names(config: ml_collections.ConfigDict) -> None:
  """Checks `init_label_order`.

  Raises:
    UserError: The order is unknown.
  """
  lookup.check_name("init_label_order", config.init_label_order, ORDERS)


def check(
  config: ml_collections.ConfigDict, num_labels: int | None = None
) -> None:
  """Checks that the weights of `init_from` are there and can be read.

  Args:
    config: The configuration, see `configs/common.py`.
    num_labels: See `kind_of`.

  Raises:
    UserError: The weights are missing or unreadable, or the order of their
      labels is not known.
  """
  if config.init_from and kind_of(config, num_labels) == "method":
    _published_order(config, ())


def kind_of(
  config: ml_collections.ConfigDict, num_labels: int | None = None
) -> str:
  """Returns what `init_from` is: 'run', 'method' or 'backbone'.

  Args:
    config: The configuration, see `configs/common.py`.
    num_labels: Number of labels N, or None if it is not known. A file whose
      classifier has another number of classes counts as a backbone's if it can
      be one.

  Raises:
    UserError: There is no such file or run.
  """
  path = pathlib.Path(config.init_from).expanduser()
  if path.is_dir():
    if not list((path / "checkpoints").glob("[0-9]*")):
      raise UserError(
        f"init_from: {path} has no checkpoints; expected the workdir of a "
        "run, or a .pth or .safetensors file."
      )
    return "run"
  state = _read(path)
  if config.method.name not in lookup.names(published_methods.LAYOUTS):
    return "backbone"
  layout = published_methods.layout_of(config.method.name)
  _, head = published_methods.split(layout, state)
  known = {k: v for k, v in head.items() if layout.variable(k) is not None}
  classifier_only = all(k in ("fc.weight", "fc.bias") for k in known)
  rows = {len(v) for v in known.values() if v.ndim}
  if not known or (classifier_only and rows != {num_labels}):
    return "backbone"
  return "method"


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    status = path.stat()
  except OSError as error:
    raise UserError(
      f"init_from: cannot read {path}: {error.strerror}. Expected a .pth or "
      ".safetensors file, or the workdir of a run."
    ) from None
  return _read_once(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _read_once(path: pathlib.Path, *_: int) -> dict[str, np.ndarray]:
  return state_dict.read_state_dict(path)


def with_variant(
  config: ml_collections.ConfigDict, saved: pathlib.Path
) -> ml_collections.ConfigDict:
  """Returns the configuration with `method.variant='auto'` resolved.

  A workdir keeps its variant, and a run in `init_from` passes on its own. A
  published checkpoint of the method needs 'published', the variant it was
  trained with. In all other cases the variant is 'corrected'.

  Args:
    config: The configuration, see `configs/common.py`.
    saved: Path of the configuration that the workdir was started with; it need
      not exist.

  Raises:
    UserError: See `kind_of`.
  """
  if "variant" not in config.method or config.method.variant != "auto":
    return config
  variant = "corrected"
  kind = kind_of(config) if config.init_from else ""
  if kind == "run" and not saved.exists():
    saved = pathlib.Path(config.init_from).expanduser() / "config.json"
  if saved.exists():
    method = core_files.read_json(saved).get("method", {})
    variant = method.get("variant", variant)
  elif kind == "method":
    variant = "published"
    progress.say(f"method: variant 'published', to fit {config.init_from}")
  config = copy.deepcopy(config)
  config.method.variant = variant
  return config


def initialise(
  config: ml_collections.ConfigDict,
  variables: Tree,
  labels: Sequence[str],
  side: Side,
) -> Tree:
  """Returns a model's variables with the values of `init_from`.

  Args:
    config: The configuration, see `configs/common.py`.
    variables: The model's variables at their initial values.
    labels: Names of the labels in the data set's order.
    side: The method's side inputs, including per-example ones.

  Raises:
    UserError: A variable is missing that `init_allow_missing` does not list, an
      array is unused that `init_allow_unused` does not list, a shape differs,
      or the labels are different.
  """
  if not config.init_from:
    return variables
  kind = kind_of(config, len(labels))
  progress.say(f"weights: {kind} from {config.init_from}")
  if kind == "backbone":
    return _backbone(config, variables)
  allowed = {
    "allow_missing": config.init_allow_missing,
    "allow_unused": config.init_allow_unused,
  }
  path = pathlib.Path(config.init_from).expanduser()
  if kind == "run":
    order = _order_of_run(path, config, labels)
    found = _run(path, variables, config.evaluate.use_ema, **allowed)
  else:
    order = _published_order(config, labels)
    found = published_methods.convert_method(
      config.method.name,
      config.backbone.name,
      _read(path),
      variables,
      **allowed,
    )
  if config.init_label_order != "auto":
    order = labels if config.init_label_order == "dataset" else sorted(labels)
  if list(order) == list(labels):
    progress.say("weights: their labels are in the data set's order")
    return found
  progress.say("weights: their labels were re-ordered to the data set's order")
  axes = label_order.label_axes(config, len(labels), side)
  return label_order.reorder(found, axes, order, labels)


def _published_order(
  config: ml_collections.ConfigDict, labels: Sequence[str]
) -> Sequence[str]:
  """Returns the labels in the order of the published checkpoint.

  For COCO, the order by category id is that of the prepared data set.

  Raises:
    UserError: The file is for a data set other than COCO, so the order is not
      known, and `init_label_order` does not give it.
  """
  auto = config.init_label_order == "auto"
  if auto and config.data.name != ORDERED_DATA:
    raise UserError(
      f"init_from: {config.init_from} is a published checkpoint of the method "
      f"{config.method.name!r}. The order of its labels is known only for the "
      f"data set {ORDERED_DATA!r}, not for {config.data.name!r}. Specify it: "
      "--config.init_label_order=dataset for the order of the prepared data "
      "set, or --config.init_label_order=alphabetical."
    )
  layout = published_methods.layout_of(config.method.name)
  alphabetical = layout.LABEL_ORDER == "alphabetical"
  return sorted(labels) if alphabetical else labels


def _order_of_run(
  path: pathlib.Path, config: ml_collections.ConfigDict, labels: Sequence[str]
) -> Sequence[str]:
  """Returns the labels in the order of a run.

  Raises:
    UserError: Neither the run nor `init_label_order` gives the order.
  """
  file = path / "data.json"
  known = core_files.read_json(file) if file.exists() else {}
  if "labels" in known:
    return known["labels"]
  if config.init_label_order == "auto":
    raise UserError(
      f"init_from: the run in {path} does not record the order of its labels "
      "(an earlier version left it out of data.json). Specify it: "
      "--config.init_label_order=dataset for the order of the prepared data "
      "set, or --config.init_label_order=alphabetical."
    )
  return labels


def _run(
  path: pathlib.Path, variables: Tree, use_ema: bool, **allowed: Any
) -> Tree:
  """Returns the variables of the best checkpoint of a run."""
  checkpoints = Checkpoints((path / "checkpoints").absolute())
  fields = evaluation_fields(use_ema)
  best = checkpoints.best_step
  if best is None:  # what `kind_of` saw was still being written
    raise UserError(
      f"init_from: {path} has no whole checkpoint; expected the workdir of a "
      "run that was validated at least once."
    )
  state = checkpoints.read(best, fields)
  params, rest = (state[field] for field in fields)
  arrays = convert.by_path({"params": params, **rest})
  return convert.assign(
    arrays, variables, lambda key: key, ours=True, **allowed
  )


def _backbone(config: ml_collections.ConfigDict, variables: Tree) -> Tree:
  state = _read(pathlib.Path(config.init_from).expanduser())
  target = published_methods.part_of(variables, "backbone")
  found = convert.convert(
    config.backbone.name,
    published_methods.by_backbone_keys(config.backbone.name, state),
    target,
    allow_missing=config.init_allow_missing,
    allow_unused=config.init_allow_unused,
  )
  return published_methods.joined(variables, {"backbone": found})
