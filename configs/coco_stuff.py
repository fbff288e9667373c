"""COCO-Stuff, 171 labels, with ResNet-50, as in the paper's main table.

  python -m causal_mlr_jax.main --config=configs/coco_stuff.py --workdir=DIR

The argument after the colon is the method, and after a comma the recipe:
`published`, the method's own resolution and optimisation, or `common`, one
for all at 224 pixels. The paper, Exclusive / Co-occur / All mAP: baseline
21.9 / 65.5 / 55.0, q2l 23.5 / 67.1 / 57.2, causal 29.7 / 69.6 / 60.6. The
data set has no builder in this version: the program says so and stops.
"""

import ml_collections

from configs import common, recipes


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: a key of `common.METHODS`, and after a comma 'published' (the
      default) or 'common'.
  """
  method, _, recipe = argument.partition(",")
  config = common.get_config(method, "resnet")
  config.data.name = "coco_stuff"
  config.backbone.depth = 50
  if recipe in ("", "published"):
    recipes.apply(config)
  elif recipe == "common":
    recipes.causal(config)
  else:
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name("recipe", recipe, ("published", "common"))
  return config
