"""The model as a StableHLO program, which JAX alone runs."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import jax.export
import jax.numpy as jnp

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.inference.export import program

FILE = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# JAX needs it to write such a file and to read it, but does not install it.
PACKAGE = "flatbuffers"


def what(bundle: Bundle) -> str:
  """Returns what the file is."""
  del bundle
  return (
    f"program of jax.export from {program.SIGNATURE}; readable by JAX released "
    "from three weeks before to six months after the version here, so never "
    "the only copy"
  )


def check(bundle: Bundle) -> None:
  """Checks that programs can be written; all methods have this format.

  Raises:
    UserError: A package is not installed.
  """
  del bundle
  if importlib.util.find_spec(PACKAGE) is None:
    raise UserError(
      f"A StableHLO file needs {PACKAGE}, not installed here. Run `python -m "
      f"pip install {PACKAGE}`, or choose another --format."
    )


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
