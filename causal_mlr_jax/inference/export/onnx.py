"""The model as an ONNX file, converted by jax2onnx and run by onnxruntime."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.inference.export import program

FILE = "model.onnx"
INPUT = "image"
PACKAGES = ("jax2onnx", "onnx", "onnxruntime")
# Largest difference of a probability from JAX's at which a file is written.
ATOL = 1e-4
FATAL = 4  # onnxruntime's level of messages


def what(bundle: Bundle) -> str:
  """Returns what the file is."""
  del bundle
  return f"ONNX program from {program.SIGNATURE}, in float32"


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
  """Writes the program, after a comparison of its outputs with JAX's.

  Args:
    bundle: The model.
    path: The file.

  Raises:
    UserError: The converter cannot convert the model, or not rightly.
  """
  check(bundle)
  # The converter gives outputs no names but their place.
  one = jax.ShapeDtypeStruct((1, *bundle.image_shape), jnp.uint8)
  names = sorted(jax.eval_shape(program.make(bundle, program.FLOAT32), one))
  try:
    model = _converted(bundle, names)
    most = _difference(model, names, bundle)
  except Exception as error:  # both packages raise every kind of exception
    raise _cannot(bundle, f"{type(error).__name__}: {error}") from error
  if not most <= ATOL:
    raise _cannot(bundle, f"its probabilities differ by {most:.2g} from JAX's")
  with atomic_files.replacing(path) as file:
    file.write(model)


def _cannot(bundle: Bundle, why: str) -> UserError:
  config = bundle.config
  return UserError(
    f"jax2onnx cannot convert the method {config.method.name!r} with the "
    f"backbone {config.backbone.name!r}: {why}. Use --format=stablehlo."
  )


def _converted(bundle: Bundle, names: Sequence[str]) -> bytes:
  function = program.make(bundle, program.FLOAT32)
  image = jax.ShapeDtypeStruct(("B", *bundle.image_shape), jnp.uint8)  # pyright: ignore[reportArgumentType]

  def in_order(image: jax.Array) -> tuple[jax.Array, ...]:
    # The converter loses what `stop_gradient` is given if it is constant.
    with mock.patch.object(lax, "stop_gradient", _as_it_is):
      found = function(image)
    return tuple(found[name] for name in names)

  with _quiet():
    import jax2onnx
    from jax2onnx.plugins import plugin_system

    # It imports converters for all libraries. Those for Equinox, which models
    # here do not use, compile for half a minute.
    with _hidden("equinox"):
      plugin_system.import_all_plugins()
    with mock.patch.object(lax, "platform_dependent", _of_any_platform):
      model = jax2onnx.to_onnx(
        in_order, [image], input_names=[INPUT], output_names=list(names)
      )
  return model.SerializeToString()


def _as_it_is(value: Any) -> Any:
  """Stands for `lax.stop_gradient`, since nothing is differentiated."""
  return value


def _of_any_platform(
  *operands: Any, default: Callable[..., Any], **of_platforms: Any
) -> Any:
  """Stands for `lax.platform_dependent`, which jax2onnx does not convert."""
  del of_platforms
  return default(*operands)


def _difference(model: bytes, names: Sequence[str], bundle: Bundle) -> float:
  """Returns the largest difference of a probability from JAX's."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = FATAL
  session = onnxruntime.InferenceSession(
    model, options, providers=["CPUExecutionProvider"]
  )

  def run(images: np.ndarray) -> np.ndarray:
    found: Any = session.run(names, {INPUT: images})
    return _probabilities(dict(zip(names, found, strict=True)))

  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, *bundle.image_shape), np.uint8)
  wanted = program.outputs(bundle, images, program.FLOAT32)
  # An image alone is as one beside itself, also where a method mixes images.
  alone, beside = run(images[:1]), run(images[[0, 0]])[:, :1]
  differences = (run(images) - _probabilities(wanted), alone - beside)
  return float(np.max([np.abs(each).max() for each in differences]))


def _probabilities(found: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns all outputs but logits, which have no scale, stacked."""
  return np.stack([found[name] for name in sorted(found) if name != "logits"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Hides the converter's warnings about parts of it that are not used."""
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    # It leaves out a part whose import raises, also where warnings are errors.
    with warnings.catch_warnings(action="ignore"):
      yield
  finally:
    logging.disable(before)


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
  """Makes a module appear not to be installed."""
  before = sys.modules.get(name)
  sys.modules[name] = None  # pyright: ignore[reportArgumentType]
  try:
    yield
  finally:
    del sys.modules[name]
    if before is not None:
      sys.modules[name] = before
