"""COCO-Stuff at 224 px with ResNet-50, as in the paper's main table.

  python -m causal_mlr_jax.main --config=configs/coco_stuff.py --workdir=DIR

The paper, Exclusive / Co-occur / All mAP: baseline 21.9 / 65.5 / 55.0, q2l
23.5 / 67.1 / 57.2, causal 29.7 / 69.6 / 60.6. The data set has no builder in
this version: the program says so and stops.
"""

import ml_collections

from configs import common


def get_config(method: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    method: a key of `common.METHODS`.
  """
  config = common.get_config(method, "resnet")
  config.data.name = "coco_stuff"
  config.backbone.depth = 50
  return config
