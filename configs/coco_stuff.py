r"""COCO-Stuff, 171 labels, with ResNet-50, as in the paper's main table.

  python -m causal_mlr_jax.main --config=configs/coco_stuff.py:METHOD \
    --config.data.manual_dir=DIR --workdir=WORKDIR

The argument after the colon is the method, `causal` by default, and after a
comma the recipe: `published`, the method's own resolution and optimisation
(`configs/recipes.py`), or `common`, the same for all methods at 224 pixels.
The paper's results, Exclusive / Co-occur / All mAP in %:

  q2l      23.5 / 67.1 / 57.2    tdrg           20.0 / 64.8 / 56.2
  add_gcn  20.6 / 64.8 / 55.2    ida            25.2 / 64.9 / 57.0
  ml_gcn   18.6 / 67.1 / 55.1    cam_based      26.4 / 64.9 / -
  ssgrl    18.1 / 66.6 / 54.9    feature_split  28.8 / 66.0 / -
  c_tran   22.4 / 65.1 / 55.4    baseline       21.9 / 65.5 / 55.0
  ccd      23.8 / 65.3 / 55.9    causal         29.7 / 69.6 / 60.6

Training needs torchvision's resnet50-0676ba61.pth in pretrained/; see
docs/weights.md.

This configuration has not been run, because the images were not available. The
files are those of `configs/coco.py`, without its annotations, and those of
https://github.com/nightrome/cocostuff (stuffthingmaps_trainval2017.zip):

  train2014/COCO_train2014_*.jpg
  val2014/COCO_val2014_*.jpg
  stuffthingmaps/train2017/*.png
  stuffthingmaps/val2017/*.png
  labels.txt

The test split is the official val2014; the model is chosen on a twentieth of
the training images.
"""

import ml_collections

from causal_mlr_jax.data.builders import coco_stuff
from configs import published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: The method and the recipe, as in `published_data.configuration`.
  """
  config = published_data.configuration(argument, coco_stuff, 50)
  published_data.choose_on_training_images(config)
  return config
