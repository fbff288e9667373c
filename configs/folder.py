r"""Your own images and labels, with EfficientNet-Lite0 at 224 pixels.

  python -m causal_mlr_jax.main --config=configs/folder.py:METHOD[,light] \
    --config.data.manual_dir=DIR --workdir=WORKDIR

METHOD is a key of `registry.METHODS`, `causal` by default. DIR holds one of

  labels.csv (any name)             path,labels[,split] or path,<label>,...
  labels.json (any name)            of COCO or of mmpretrain
  train.json, val.json, test.json   the same; also as .csv
  train/metadata.jsonl, validation/metadata.jsonl, test/metadata.jsonl
  and the images they name

where images are JPEG or PNG, such as a labels.csv of

  path,labels
  street/1.jpg,car;person
  street/2.jpg,

`causal_mlr_jax/data/builders/folder.py` describes each form. If the file has no
splits, 15 % of the images are drawn for validation and 15 % for test. For the
Exclusive and Co-occur metrics, name labels and the contexts that they lean on:
--config.data.options.biased_pairs="('bicycle<-person',)".

The settings suit tens to tens of thousands of images. The pre-trained weights
come in a package; their batch statistics are frozen, and they learn at a tenth
of the head's rate. Batches are small, so that few images still give enough
steps.

`METHOD,light` is for a machine without a GPU. It uses images of 128 pixels, and
needs half of the CPU time and two thirds of the memory with 60 photographs, or
a third of the time with many; small objects are the first to be missed. With 60
photographs, `light` takes 2.5 minutes of CPU time for the audit, 3.7 minutes
for the training of `causal`, and 5 GiB; without `light` it is 5.0 and 7.2
minutes, and 7 GiB. Each training image costs 0.12 seconds of CPU time per epoch
with `light`, and 0.4 without. Nothing here was tuned on any data set, so first
try other values of `train.learning_rate` and `train.epochs`.
"""

import ml_collections

from causal_mlr_jax.data.builders import folder
from configs import common, recipes

# With `light`, in pixels: the side of the images, and the shorter side that
# they are resized to before cropping.
SIZE, LARGER = 128, 146


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: A key of `registry.METHODS`, and after a comma 'full' (the
      default) or 'light'.
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
    batch_size=16,  # 42 training images make 2 or 3 steps per epoch
    epochs=20.0,
    learning_rate=3e-4,
    learning_rate_rules=recipes.SLOW_BACKBONE,
    ema_decay=0.99,  # 0.9997 is too slow for such a short training
  )
  config.evaluate.update(batch_size=16, every_epochs=2.0)
  # Few, so that they are scenes: see `nn/causal/context_offset.py`.
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
