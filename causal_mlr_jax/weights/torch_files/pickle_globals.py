"""The names that may occur in PyTorch's pickles, and what they construct here.

A name is never imported: `ALLOWED` maps it to a constructor of plain data or of
a placeholder. Any other name is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ml_dtypes  # noqa: F401  (gives numpy the name "bfloat16")
import numpy as np

from causal_mlr_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Global:
  """An unresolved name in the pickle."""

  module: str
  name: str

  def __str__(self) -> str:
    return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False)
class Inert:
  """A placeholder without behaviour for an object that is not weights."""

  type: str
  args: tuple = ()
  state: Any = None


@dataclasses.dataclass(frozen=True)
class Storage:
  """A block of numbers that is stored outside the pickle."""

  dtype: np.dtype
  key: str
  numel: int

  @property
  def nbytes(self) -> int:
    """The number of bytes of the block."""
    return self.numel * self.dtype.itemsize


@dataclasses.dataclass(eq=False)
class Tensor:
  """A view of a storage; offset and strides count elements."""

  storage: Storage
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]


# Storage class: dtype of its elements. ml_dtypes gives numpy bfloat16.
STORAGES = {
  "DoubleStorage": "float64",
  "FloatStorage": "float32",
  "HalfStorage": "float16",
  "BFloat16Storage": "bfloat16",
  "LongStorage": "int64",
  "IntStorage": "int32",
  "ShortStorage": "int16",
  "CharStorage": "int8",
  "ByteStorage": "uint8",
  "BoolStorage": "bool",
}
DTYPES = (*STORAGES.values(), "float", "double", "half", "long", "int", "short")


def checked_key(key: Any) -> Any:
  """Returns a key of a dict or a member of a set, if it is plain.

  Python hashes nested tuples recursively on the C stack, so a deep one would
  crash the process.

  Raises:
    UserError: The key is not text, a number or a flat tuple of them.
  """
  parts = key if isinstance(key, tuple) else (key,)
  if not all(isinstance(p, str | bytes | int | float | None) for p in parts):
    raise UserError(f"it has a key of type {type(key).__name__}.")
  return key


def _dict(items: Any = ()) -> dict:
  items = items.items() if isinstance(items, dict) else items
  return {checked_key(key): value for key, value in items}


def _set(items: Any = ()) -> set:
  return set(map(checked_key, items))


def _tensor(
  storage: Storage, offset: int, size: tuple, stride: tuple
) -> Tensor:
  """Returns a placeholder; its numbers are checked when it is filled."""
  if not isinstance(storage, Storage):
    raise UserError("a tensor of it has no storage.")
  return Tensor(storage, offset, tuple(size), tuple(stride))


def _nested(func: Global, _: Any, args: tuple, __: Any) -> Any:
  """Returns a tensor that was saved with attributes, without them."""
  return construct(func, args)


def _inert(name: str) -> Callable[..., Inert]:
  return lambda *args: Inert(name, args)


def _tag(*_: Any) -> Any:
  raise UserError("it calls what is only the name of a type.")


# (module, name): constructor of what a call of it returns.
ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
  ("collections", "OrderedDict"): _dict,
  ("collections", "defaultdict"): lambda *_: {},
  ("collections", "Counter"): _dict,
  ("builtins", "set"): _set,
  ("__builtin__", "set"): _set,
  ("_codecs", "encode"): lambda text, _=None: text.encode("latin-1"),
  ("argparse", "Namespace"): _inert("argparse.Namespace"),
  ("numpy", "dtype"): _inert("numpy.dtype"),
  ("numpy.core.multiarray", "scalar"): _inert("numpy.scalar"),
  ("numpy._core.multiarray", "scalar"): _inert("numpy.scalar"),
  ("torch", "device"): _inert("torch.device"),
  ("torch", "Size"): lambda items=(): tuple(items),
  ("torch", "Tensor"): _tag,
  ("torch._utils", "_rebuild_tensor"): _tensor,
  ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _tensor(*args[:4]),
  ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
  ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
  ("torch.nn.parameter", "Parameter"): lambda data, *_: data,
  ("torch._tensor", "_rebuild_from_type_v2"): _nested,
  **{("torch", name): _tag for name in (*STORAGES, *DTYPES)},
}


def construct(func: Any, args: Any) -> Any:
  """Returns what a call of `func` constructs.

  Raises:
    UserError: `func` is not one of the allowed names.
  """
  if not isinstance(func, Global) or not isinstance(args, tuple):
    raise UserError("it calls something that is not a name.")
  return ALLOWED[func.module, func.name](*args)
