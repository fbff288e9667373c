"""The model as one function of an image, for programs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.types import Array, Tree
from causal_mlr_jax.inference import trained_model
from causal_mlr_jax.inference.bundle import Bundle

FLOAT32 = "float32"
# What a program maps to what, for descriptions of it.
SIGNATURE = (
  "uint8 images [B, H, W, 3] of the image_shape here, any B, to logits, "
  "probabilities and parts"
)


def make(
  bundle: Bundle, dtype: str = ""
) -> Callable[[Array], dict[str, Array]]:
  """Returns a function from uint8 images [B, H, W, 3] to outputs by name.

  The outputs are `logits` and `probabilities` [B, N], and the probabilities of
  each part. Variables, side inputs and normalisation are constants in it.

  Args:
    bundle: The model.
    dtype: Dtype of the activations; '' for the configuration's, and float32
      where that depends on the device.
  """
  return functools.partial(
    _function(bundle, dtype), bundle.variables, dict(bundle.side)
  )


def outputs(
  bundle: Bundle, image_BHWC: np.ndarray, dtype: str = ""
) -> dict[str, np.ndarray]:
  """Returns what JAX itself computes of images, with full precision.

  Args:
    bundle: The model.
    image_BHWC: Images, uint8 [B, H, W, 3].
    dtype: See `make`.
  """
  # Variables are arguments, which compiles sooner than constants.
  compute = jax.jit(_function(bundle, dtype))
  with jax.default_matmul_precision("highest"):
    found = compute(bundle.variables, dict(bundle.side), image_BHWC)
  return jax.device_get(found)


def _function(
  bundle: Bundle, dtype: str
) -> Callable[[Tree, dict[str, Any], Any], dict[str, Array]]:
  config = bundle.config.copy_and_resolve_references()
  config.unlock()
  if dtype or config.dtype == "auto":
    config.dtype = dtype or FLOAT32
  apply = trained_model.make_apply(bundle._replace(config=config.lock()))

  def program(
    variables: Tree, side: dict[str, Any], image: Any
  ) -> dict[str, Array]:
    inputs = {
      name: jnp.broadcast_to(
        jnp.asarray(value), (image.shape[0], *value.shape[1:])
      )
      for name, value in bundle.example_inputs(1).items()
    }
    found = apply(variables, image, inputs, side)
    found["probabilities"] = found.pop("scores")
    return found

  return program
