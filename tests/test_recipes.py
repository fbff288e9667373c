"""Every published recipe is a configuration that fits its model."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Cooccurrence
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import optimizer
from causal_mlr_jax.training.criterion import make_criterion
from configs import coco, coco_stuff, recipes, registry
from tests import small

LABELS = 6
KEY = jax.random.key(0)


def side():
  eye = np.eye(LABELS, dtype=np.float32)
  return {
    "confounders": small.confounders(),
    "cooccurrence": Cooccurrence(1 - eye, np.ones(LABELS, np.float32)),
    "label_embeddings": np.ones((LABELS, 300), np.float32),
    "label_prototypes": np.ones((LABELS, 2048), np.float32),
    "label_state": np.zeros((2, LABELS), np.int32),
  }


@cache
def backbone_of(backbone, shape):
  """Shapes of a network's variables and of its features; many recipes share."""
  features, variables = jax.eval_shape(
    partial(backbone.init_with_output, train=False),
    KEY,
    jax.ShapeDtypeStruct((2, *shape), jnp.float32),
  )
  return variables, features


def test_a_method_without_a_recipe_is_named(monkeypatch):
  monkeypatch.setitem(registry.METHODS, "mine", {"hidden": 3})
  with pytest.raises(UserError, match=r"recipe.*'mine'"):
    coco.get_config("mine")


@pytest.mark.parametrize(
  "make",
  small.few([coco.get_config, coco_stuff.get_config], [coco_stuff.get_config]),
)
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_recipe_fits_the_model(name, make):
  config = make(name).lock()
  train, evaluate = (
    op_string.parse(config.data[f"preprocess_{kind}"])
    for kind in ("train", "evaluate")
  )
  image = png(700, 500)
  shapes = {
    op(image, np.random.default_rng(0)).shape for op in (train, evaluate)
  }
  assert len(shapes) == 1
  model = model_lib.make_model(config, LABELS)
  backbone, features = backbone_of(model.backbone, shapes.pop())
  head = jax.eval_shape(
    partial(model.head.init, train=False), KEY, features, side()
  )
  params = {"backbone": backbone["params"], "head": head["params"]}
  # Path rules name parameters that exist; sections hold what is needed.
  for section in (config.train, first(config)):
    schedule = optimizer.make_schedule(section, 100)
    tx = optimizer.make_optimizer(section, schedule, params, 100)
    jax.eval_shape(tx.init, params)
    assert float(schedule(10)) > 0
  logits = jnp.zeros((2, LABELS))
  criterion = make_criterion(config.loss, config.train.batch_size, LABELS)
  assert (criterion(logits, logits) > 0).all()


def first(config):
  section = ml_collections.ConfigDict(config.train)
  section.update(config.first_stage)
  return section


def png(height, width):
  from causal_mlr_jax.data.emoji.drawing import png

  rng = np.random.default_rng(0)
  return png(rng.integers(0, 256, (height, width, 3), np.uint8))


def test_an_unknown_recipe_names_the_choices():
  assert coco_stuff.get_config("q2l,common").train.weight_decay == 1e-2
  with pytest.raises(UserError, match="published"):
    coco_stuff.get_config("q2l,comon")
