"""The names and sizes of a configuration, checked before anything is read."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax.core import lookup, parallel
from causal_mlr_jax.core.types import Method
from causal_mlr_jax.data import read_options
from causal_mlr_jax.data.known_labels import known_label_state
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.evaluation.metrics import HEADLINES
from causal_mlr_jax.stages import confounders, first_stage, transfer
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import optimizer
from causal_mlr_jax.training.criterion import make_criterion
from causal_mlr_jax.weights import init_from


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> Method:
  """Checks all names and sizes, and returns the method's module.

  Raises:
    UserError: the first thing that is wrong.
  """
  method = model_lib.find_method(config.method.name)
  make_criterion(config.loss, config.train.batch_size, 1)
  model = model_lib.make_model(config, num_labels=1)
  # The shapes alone: a backbone names its wrong options here.
  image = jnp.zeros((1, 64, 64, 3))
  jax.eval_shape(
    lambda key: model.backbone.init(key, image, train=False), jax.random.key(0)
  )
  op_string.parse(config.data.preprocess_train)
  op_string.parse(config.data.preprocess_evaluate)
  read_options.from_config(config.data)
  optimizer.check(config.train)
  for section in ("train", "evaluate"):
    size = config[section].batch_size
    parallel.check_divides(f"{section}.batch_size", size, mesh)
  if "confounders" in method.NEEDS:
    confounders.check(config, mesh)
  if "label_state" in method.NEEDS:
    known_label_state(config.method.known_labels)
  if hasattr(method, "first_stage"):
    optimizer.check(first_stage.config_of(config).train)
  if config.evaluate.metric not in HEADLINES:
    raise lookup.unknown_name(
      "evaluate.metric", config.evaluate.metric, HEADLINES
    )
  transfer.check(config)
  init_from.check_names(config)
  return method
