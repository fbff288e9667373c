"""The model as one function of an image, for programs."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.inference import trained_model
from causal_mlr_jax.inference.bundle import Bundle


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
  config = bundle.config.copy_and_resolve_references()
  config.unlock()
  if dtype or config.dtype == "auto":
    config.dtype = dtype or "float32"
  apply = trained_model.make_apply(bundle._replace(config=config.lock()))

  def program(image: Array) -> dict[str, Array]:
    inputs = {
      name: jnp.broadcast_to(
        jnp.asarray(value), (image.shape[0], *value.shape[1:])
      )
      for name, value in bundle.example_inputs(1).items()
    }
    found = apply(bundle.variables, image, inputs, dict(bundle.side))
    found["probabilities"] = found.pop("scores")
    return found

  return program
