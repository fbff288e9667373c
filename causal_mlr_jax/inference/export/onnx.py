"""The model as an ONNX file, converted by jax2onnx."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.inference.export import program

FILE = "model.onnx"
WHAT = (
  "ONNX program from uint8 images [B, H, W, 3] of the image_shape here, any B, "
  "to logits, probabilities and parts, in float32"
)
PACKAGES = ("jax2onnx", "onnx")


def check(bundle: Bundle) -> None:
  """Checks that the converter is installed.

  Raises:
    UserError: It is not.
  """
  del bundle
  missing = [n for n in PACKAGES if importlib.util.find_spec(n) is None]
  if missing:
    raise UserError(
      f"An ONNX file needs {' and '.join(missing)}, not installed here. Run "
      "`python -m pip install -r requirements-export.txt`, or choose another "
      "--format."
    )


def write(bundle: Bundle, path: pathlib.Path) -> None:
  """Writes the program.

  Args:
    bundle: The model.
    path: The file.

  Raises:
    UserError: The converter cannot convert the model.
  """
  check(bundle)
  function = program.make(bundle, "float32")
  image = jax.ShapeDtypeStruct(("B", *bundle.image_shape), jnp.uint8)  # pyright: ignore[reportArgumentType]
  # The converter names outputs by their place only.
  names = sorted(
    jax.eval_shape(
      function, jax.ShapeDtypeStruct((1, *bundle.image_shape), jnp.uint8)
    )
  )

  def in_order(image: jax.Array) -> tuple[jax.Array, ...]:
    found = function(image)
    return tuple(found[name] for name in names)

  try:
    with _quiet():
      import jax2onnx  # pyright: ignore[reportMissingImports]

      model = jax2onnx.to_onnx(
        in_order, [image], input_names=["image"], output_names=names
      )
  except Exception as error:  # a converter raises every kind of exception
    raise UserError(
      f"jax2onnx cannot convert the method {bundle.config.method.name!r} with "
      f"the backbone {bundle.config.backbone.name!r}: "
      f"{type(error).__name__}: {error}. Use --format=stablehlo."
    ) from error
  with atomic_files.replacing(path) as file:
    file.write(model.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides the converter's warnings about parts of it that are not used."""
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    yield
  finally:
    logging.disable(before)
