r"""COCO 2014, 80 labels, with ResNet-101: each method by its own recipe.

  python -m causal_mlr_jax.main --config=configs/coco.py:METHOD \
    --config.data.manual_dir=DIR --workdir=WORKDIR

The argument after the colon is the method, `causal` by default, and after a
comma the recipe, `published` by default or `common` (`configs/coco_stuff.py`).
Each method's published optimisation, augmentation and resolution, and our
differences, are in `configs/recipes.py`; its published score is in
docs/methods.md.
This configuration has not been run, because the images were not available.

Training needs torchvision's resnet101-63fe2227.pth in pretrained/; see
docs/weights.md.

The files are from https://cocodataset.org/#download, unpacked in DIR:

  train2014/COCO_train2014_*.jpg          of train2014.zip
  val2014/COCO_val2014_*.jpg              of val2014.zip
  annotations/instances_train2014.json    of annotations_trainval2014.zip
  annotations/instances_val2014.json      of the same

The test split is the official val2014. The model is selected on a twentieth of
the training images. Published code trains on all of them and selects the model
on the test images, as --config.data.train_split=train
--config.data.validation_split=test does. ML-GCN, ADD-GCN and TDRG leave out
images without any label (--config.data.options.unlabelled=drop).
"""

import ml_collections

from causal_mlr_jax.data.builders import coco
from configs import published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: The method and the recipe, as in `published_data.configuration`.
  """
  config = published_data.configuration(argument, coco, 101)
  published_data.choose_on_training_images(config)
  return config
