"""The model as a StableHLO program, which JAX alone runs."""

from __future__ import annotations

import pathlib

import jax
import jax.export
import jax.numpy as jnp

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.inference.export import program

FILE = "model.stablehlo"
WHAT = (
  "program of jax.export from uint8 images [B, H, W, 3] of the image_shape "
  "here, any B, to logits, probabilities and parts; readable by JAX released "
  "from three weeks before to six months after the version here, so never the "
  "only copy"
)
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def check(bundle: Bundle) -> None:
  """Checks nothing: all methods have this format."""
  del bundle


def write(bundle: Bundle, path: pathlib.Path) -> None:
  """Writes the program for CPU, GPU and TPU.

  Args:
    bundle: The model.
    path: The file.
  """
  height, width, channels = bundle.image_shape
  shape = jax.export.symbolic_shape(f"b, {height}, {width}, {channels}")
  exported = jax.export.export(
    jax.jit(program.make(bundle)), platforms=PLATFORMS
  )(jax.ShapeDtypeStruct(shape, jnp.uint8))
  with atomic_files.replacing(path) as file:
    file.write(exported.serialize())
