"""COCO 2014, 80 labels, with ResNet-101: each method by its own recipe.

  python -m causal_mlr_jax.main --config=configs/coco.py:q2l --workdir=DIR

The argument after the colon is the method; `configs/recipes.py` holds the
published optimisation, augmentation and resolution. The data set has no
builder in this version: the program says so and stops.
"""

import ml_collections

from configs import common, recipes


def get_config(method: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    method: a key of `common.METHODS`.
  """
  config = common.get_config(method, "resnet")
  config.data.name = "coco"
  config.backbone.depth = 101
  recipes.apply(config)
  return config
