"""The configurations of data sets from official files, and of own images."""

import cv2
import numpy as np
import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.dataset import BUILDERS
from causal_mlr_jax.data.preprocess import op_string
from configs import deepfashion, folder, nus_wide, registry

CONFIGS = (deepfashion, folder, nus_wide)


@pytest.mark.parametrize("module", CONFIGS)
@pytest.mark.parametrize("method", registry.METHODS)
def test_every_method_has_a_configuration(module, method):
  config = module.get_config(method).lock()
  assert config.method.name == method
  for key in ("preprocess_train", "preprocess_evaluate"):
    op_string.parse(config.data[key])
  for split in ("train_split", "validation_split"):
    dataset_lib.parse_split(config.data[split])


@pytest.mark.parametrize("module", CONFIGS)
def test_the_files_are_shown_where_they_are_asked_for(module):
  config = module.get_config()
  builder = lookup.module(BUILDERS, config.data.name)
  for line in builder.LAYOUT.splitlines():
    assert line.rstrip() in module.__doc__
  assert dict(config.data.options) == builder.OPTIONS
  builder.check_options(builder.OPTIONS)
  with pytest.raises(UserError, match="manual_dir is not set") as caught:
    dataset_lib.find_builder(config.data)
  assert builder.LAYOUT in str(caught.value)


def test_what_differs_for_deepfashion():
  config = deepfashion.get_config("feature_split")
  assert config.method.min_weight == 5
  # Half as long as for COCO-Stuff; the rate drops at the same part.
  assert config.first_stage.epochs == 50
  assert config.first_stage.step_at == (0.6,)
  assert deepfashion.get_config("q2l,common").train.weight_decay == 1e-2
  assert "448" in deepfashion.get_config("q2l").data.preprocess_evaluate
  with pytest.raises(UserError, match="Did you mean 'common'"):
    deepfashion.get_config("q2l,comon")


def test_own_images_may_be_small():
  full, light = folder.get_config("q2l"), folder.get_config("q2l,light")
  assert light.method.name == "q2l"
  image = np.zeros((480, 640, 3), np.uint8)
  data = cv2.imencode(".png", image)[1].tobytes()
  for config, size in ((full, 224), (light, 128)):
    assert config.confounders.image_size == size
    for key in ("preprocess_train", "preprocess_evaluate"):
      op = op_string.parse(config.data[key])
      assert op(data, np.random.default_rng(0)).shape == (size, size, 3)
  assert folder.get_config("q2l,full").eq_as_configdict(full)
  with pytest.raises(UserError, match="Did you mean 'light'"):
    folder.get_config("q2l,lite")
