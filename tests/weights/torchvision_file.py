"""Writes random weights under torchvision's names, as a classifier's file."""

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.weights.mapping import convert

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
STATISTICS = {"mean": "running_mean", "var": "running_var"}


def torch_key(path):
  """torchvision's name of one of our paths of a ResNet."""
  *layers, leaf = path.split("/")
  names = [layer.replace("_", ".", 1) for layer in layers]
  name = ".".join(names)
  name = name.replace("downsample.conv", "downsample.0")
  return name.replace("downsample.bn", "downsample.1") + "." + leaf


def write(path, **fields):
  """Writes the weights of a ResNet with these fields."""
  backbone = resnet.Backbone(axis_name=None, dtype=jnp.float32, **fields)
  image = jnp.zeros((1, 64, 64, 3))
  init = jax.jit(lambda key: backbone.init(key, image, train=False))
  arrays = {}
  for our_path, value in convert.by_path(init(jax.random.key(7))).items():
    collection, name = our_path.split("/", 1)
    layer, _, leaf = name.rpartition("/")
    leaves = LEAVES if collection == "params" else STATISTICS
    value = np.asarray(value)
    if value.ndim == 4:
      value = value.transpose(3, 2, 0, 1)
    arrays[torch_key(f"{layer}/{leaves[leaf]}")] = np.ascontiguousarray(value)
  for key in [key for key in arrays if key.endswith("running_var")]:
    counted = key.replace("running_var", "num_batches_tracked")
    arrays[counted] = np.array(1000)
  channels = arrays["layer4.0.conv3.weight"].shape[0]
  arrays["fc.weight"] = np.zeros((1000, channels), np.float32)
  arrays["fc.bias"] = np.zeros(1000, np.float32)
  safetensors.numpy.save_file(arrays, path)
