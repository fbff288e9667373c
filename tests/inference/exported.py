"""Models with random weights, to be exported."""

import jax
import numpy as np

from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.inference import bundle as bundle_lib
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.label_prototypes import no_prototypes
from causal_mlr_jax.uses import use
from configs import registry
from tests import small

LABELS = ("cat", "dog", "car", "bus", "tree")
SHAPE = (64, 64, 3)
# Ends of the paths of variables that are positive.
POSITIVE = ("/var", "/scale", "constants/head/adjacency")


def make_bundle(method, backbone=None, **overrides):
  """A bundle of a small model whose variables are random.

  Args:
    method: Name of the method.
    backbone: Section of the backbone; None for a small ResNet.
    overrides: Values by key of the configuration.
  """
  fields = registry.METHODS[method]
  if "variant" in fields:
    overrides = {"method.variant": "corrected"} | overrides
  config = small.config(method, "data", **overrides)
  if backbone is not None:
    config = config.copy_and_resolve_references().unlock()
    config.backbone = backbone
    config.lock()
  rng, count = np.random.default_rng(0), len(LABELS)
  every = {
    "confounders": small.confounders(6, 64),
    "cooccurrence": cooccurrence(rng.random((40, count)) < 0.4),
    "label_embeddings": rng.normal(size=(count, 7)).astype(np.float32),
    "label_prototypes": no_prototypes(config.backbone, count),
  }
  needs = model_lib.find_method(method).NEEDS
  side = {name: value for name, value in every.items() if name in needs}
  bundle = bundle_lib.Bundle(config, LABELS, SHAPE, {}, side, 7)
  return bundle._replace(variables=_random(bundle))


def _random(bundle):
  """Variables of the right shapes."""
  model = bundle_lib.make_model(bundle)
  inputs = bundle.side | bundle.example_inputs(model_lib.EXAMPLES)
  image = np.zeros((model_lib.EXAMPLES, *bundle.image_shape), np.uint8)
  shapes = jax.eval_shape(
    lambda key: model.init(key, image, inputs, train=False), jax.random.key(0)
  )
  rng = np.random.default_rng(1)

  def value(path, leaf):
    if not np.issubdtype(leaf.dtype, np.floating):
      return np.zeros(leaf.shape, leaf.dtype)
    found = 0.1 * rng.normal(size=leaf.shape).astype(leaf.dtype)
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return np.abs(found) + 0.5 if name.endswith(POSITIVE) else found

  return jax.tree_util.tree_map_with_path(value, shapes)


def images(count=3):
  """Random images."""
  rng = np.random.default_rng(2)
  return rng.integers(0, 256, (count, *SHAPE), np.uint8)


def export(workdir, output, name):
  """Exports a run in a format, as the program does."""
  use.use(str(workdir), "export", Request(output=str(output), format=name))
