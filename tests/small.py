"""A configuration and data that a test trains on in seconds."""

import numpy as np
import pytest

from causal_mlr_jax.data import dataset as dataset_lib
from configs import common, context_emoji

SIZES = {"embed_dim": 16, "hidden": 24, "joint_dim": 16, "output_dim": 16}
# Of a run that is only to be there.
SHORT = {"train.epochs": 1.0, "data.test_splits": ("test",)}


def config(method, data_dir, **overrides):
  """The embedded world's own configuration, shrunk; then overrides."""
  c = context_emoji.get_config(method)
  c.data.update(dir=str(data_dir), variant="small")
  c.backbone.width = 8
  c.confounders.update(num=6, image_size=32, batch_size=48)
  # A random network, since that of ImageNet takes long to compile.
  c.confounders.backbone = common.backbone("resnet", "scratch")
  c.confounders.backbone.update(depth=18, stage_sizes=(1, 1), width=4)
  c.confounders.backbone.stem = "small"
  c.confounders.early_layer = "stage1"
  c.train.update(batch_size=24, epochs=2.0, log_every=2)
  c.first_stage.epochs = 1.0
  c.evaluate.update(batch_size=48, every_epochs=1.0, page=False)
  for key, value in SIZES.items():
    if key in c.method:
      c.method[key] = value
  c.update_from_flattened_dict(overrides)
  return c.lock()


def slow(method):
  """Marks of a slow test that trains a method."""
  # Without optimisation XLA makes NaN of the gradients of TDRG.
  marks = [pytest.mark.optimised] if method == "tdrg" else []
  return [pytest.mark.slow, *marks]


def few(values, fast):
  """Parameters of a test: those in `fast` by default, the others slow."""
  return [
    pytest.param(value, marks=() if value in fast else pytest.mark.slow)
    for value in values
  ]


def builder(data_dir):
  """The builder of the small variant."""
  return dataset_lib.find_builder(config("baseline", data_dir).data)


def dataset(data_dir):
  """The prepared small variant."""
  found = builder(data_dir)
  dataset_lib.prepare(found)
  return dataset_lib.open_prepared(found)


def confounders(num=6, channels=12, seed=0):
  """Random confounders of the right form."""
  from causal_mlr_jax.core.types import Confounders

  rng = np.random.default_rng(seed)
  centres = rng.normal(size=(num, channels)).astype(np.float32)
  prior = rng.dirichlet(np.ones(num)).astype(np.float32)
  return Confounders(centres, prior)
