r"""COCO 2014, 80 labels, with ResNet-101: each method by its own recipe.

  python -m causal_mlr_jax.main --config=configs/coco.py:METHOD \
    --config.data.manual_dir=DIR --workdir=WORKDIR

The argument after the colon is the method, `causal` by default, and after a
comma the recipe (`published` or `common`, see `configs/coco_stuff.py`). The
published optimisation, augmentation and resolution of each method, and what
differs, are in `configs/recipes.py`, and its published score in the README.
Nothing was run here: the images are not at hand.

Training starts from torchvision's resnet101-63fe2227.pth, which is looked for
in pretrained/, and is refused without it; README.md, "What training starts
from".

The files are from https://cocodataset.org/#download, unpacked in DIR:

  train2014/COCO_train2014_*.jpg          of train2014.zip
  val2014/COCO_val2014_*.jpg              of val2014.zip
  annotations/instances_train2014.json    of annotations_trainval2014.zip
  annotations/instances_val2014.json      of the same

The test split is the official val2014. The model is chosen on a twentieth of
the training images; published programs train on all of them and choose on the
test images (--config.data.train_split=train --config.data.validation_split=test
does so). ML-GCN, ADD-GCN and TDRG leave out images without any label
(--config.data.options.unlabelled=drop).
"""

import ml_collections

from causal_mlr_jax.data.builders import coco
from configs import published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: as of `published_data.configuration`.
  """
  config = published_data.configuration(argument, coco, 101)
  published_data.choose_on_training_images(config)
  return config
