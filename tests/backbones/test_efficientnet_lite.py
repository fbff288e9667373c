"""EfficientNet-Lite0 with its trained weights, on real photos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.transform

from causal_mlr_jax.backbones import efficientnet_lite
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import weight_sources
from causal_mlr_jax.weights.mapping import convert

SIDE = 224
# Photo of scikit-image: the ImageNet classes that are right for it.
PHOTOS = {
  "coffee": {967},  # espresso
  "camera": {872},  # tripod
  "chelsea": set(range(281, 286)),  # cats
  "rocket": {657},  # missile
}


def photo(name):
  """The square middle of a photo, normalised, [SIDE, SIDE, 3]."""
  image = getattr(skimage.data, name)()
  if image.ndim == 2:
    image = np.stack([image] * 3, -1)
  side = min(image.shape[:2])
  top, left = ((length - side) // 2 for length in image.shape[:2])
  image = image[top : top + side, left : left + side]
  image = skimage.transform.resize(
    image, (SIDE, SIDE), anti_aliasing=True, preserve_range=True
  )
  mean, std = efficientnet_lite.MEAN[0], efficientnet_lite.STD[0]
  return ((image - mean) / std).astype(np.float32)


def test_trained_weights_name_real_photos():
  state = weight_sources.pretrained("efficientnet_lite0")
  backbone = efficientnet_lite.Backbone()
  images = jnp.asarray(np.stack([photo(name) for name in PHOTOS]))
  shapes = jax.eval_shape(
    lambda: backbone.init(jax.random.key(0), images, train=False)
  )
  variables = convert.convert("efficientnet_lite", state, shapes)
  features = jax.jit(lambda v, x: backbone.apply(v, x, train=False))(
    variables, images
  )
  grids = {name: value.shape[1:] for name, value in features.maps.items()}
  assert grids == {
    "stage1": (112, 112, 16),
    "stage2": (56, 56, 24),
    "stage3": (28, 28, 40),
    "stage4": (14, 14, 112),
    "stage5": (7, 7, 320),
    "final": (7, 7, 1280),
  }
  logits = features.pooled @ state["_fc.weight"].T
  logits += state["_fc.bias"].reshape(1, -1)
  best = dict(zip(PHOTOS, logits.argmax(-1).tolist(), strict=True))
  assert all(best[name] in PHOTOS[name] for name in PHOTOS), best


def test_an_unknown_variant_says_what_there_is():
  backbone = efficientnet_lite.Backbone(variant="lite9")
  with pytest.raises(UserError, match="Choices: lite0"):
    backbone.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)


def test_settings_reach_every_layer():
  backbone = efficientnet_lite.Backbone(
    frozen_batch_norm=True, dtype=jnp.bfloat16, axis_name="data"
  )
  image = jnp.zeros((1, 32, 32, 3))
  features, _ = jax.eval_shape(
    lambda: backbone.init_with_output(jax.random.key(0), image, train=True)
  )
  assert {m.dtype for m in features.maps.values()} == {jnp.dtype("bfloat16")}
  assert features.pooled.dtype == jnp.float32
