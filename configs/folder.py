r"""Your own images and labels, with EfficientNet-Lite0 at 224 pixels.

  python -m causal_mlr_jax.main --config=configs/folder.py:METHOD[,light] \
    --config.data.manual_dir=DIR --workdir=WORKDIR

METHOD is a key of `choices.METHODS`, `causal` by default. DIR holds one of

  labels.csv (any name)             path,labels[,split] or path,<label>,...
  labels.json (any name)            of COCO or of mmpretrain
  train.json, val.json, test.json   the same; also as .csv
  train/metadata.jsonl, validation/metadata.jsonl, test/metadata.jsonl
  and the images they name

where images are JPEG or PNG, such as a labels.csv of

  path,labels
  street/1.jpg,car;person
  street/2.jpg,

`causal_mlr_jax/data/builders/folder.py` says what each form is. Without a split
in the file, 15 in 100 images are drawn for validation and as many for test. For
Exclusive and Co-occur name labels and the context that they lean on:
--config.data.options.biased_pairs="('bicycle<-person',)".

The settings are for some tens to some ten thousands of images: pre-trained
weights, which come in a package, whose statistics are kept and which learn at a
tenth of the head's rate, and small batches, so that few images still make for
enough steps.

`METHOD,light` is for a machine without a GPU: images of 128 pixels, half of the
CPU time and two thirds of the memory with 60 photographs, a third of the time
with many; small objects are lost first. 60 photographs take 2.5 minutes of CPU
time for the audit and 3.7 for the training of `causal`, and 5 GiB; without
`light`, 5.0 and 7.2 minutes, and 7 GiB. An image in the training set costs 0.12
seconds of CPU time an epoch with `light`, and 0.4 without. Nothing here was
tuned on any data set, so try other values of `train.learning_rate` and
`train.epochs` first.
"""

import ml_collections

from causal_mlr_jax.data.builders import folder
from configs import common, recipes

# Of `light`, in pixels: of the images, and of their shorter side before they
# are cropped to it.
SIZE, LARGER = 128, 146


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: a key of `choices.METHODS`, and after a comma 'full' (the default)
      or 'light'.
  """
  method, _, size = argument.partition(",")
  config = common.get_config(method, "efficientnet_lite")
  config.backbone.update(
    pretrained="efficientnet_lite0", frozen_batch_norm=True
  )
  config.data.name = "folder"
  config.data.options = ml_collections.ConfigDict(folder.OPTIONS)
  recipes.random_resized(config)
  config.train.update(
    batch_size=16,  # 42 training images make 2 or 3 steps an epoch
    epochs=20.0,
    learning_rate=3e-4,
    learning_rate_rules=recipes.SLOW_BACKBONE,
    ema_decay=0.99,  # at 0.9997 a training so short would not show
  )
  config.evaluate.update(batch_size=16, every_epochs=2.0)
  # Few, so that they are scenes: see `nn/context_offset.py`.
  config.confounders.update(batch_size=16, num=20)
  if size == "light":
    config.data.update(
      preprocess_train=f"decode|random_resized_crop({SIZE})|flip_lr",
      preprocess_evaluate=(
        f"decode|resize_small({LARGER})|central_crop({SIZE})"
      ),
    )
    config.confounders.image_size = SIZE
  elif size not in ("", "full"):
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name("size of images", size, ("full", "light"))
  return config
