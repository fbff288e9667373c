"""Reads PyTorch weight files without PyTorch and without running them.

There are two layouts. A zip archive holds `<top>/data.pkl` and one entry per
storage; the legacy layout is five pickles followed by the storages. In both,
the pickle describes a tensor as a view (offset, size, stride, counted in
elements) of a storage. A file may lie about each of these numbers, so they are
checked before any memory is accessed.
"""

from __future__ import annotations

import io
import math
import mmap
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, Literal, cast

import ml_dtypes
import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.torch_files import restricted_pickle
from causal_mlr_jax.weights.torch_files.pickle_globals import Storage, Tensor

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
# The arrays may take up to this many times the file's bytes (expanded tensors
# and bfloat16 grow); more would be an attack, not weights.
MAX_GROWTH = 4
# Keys under which training programs keep the state dict, in order of priority.
WRAPPERS = (
  "state_dict",
  "model",
  "module",
  "ema",
  "state_dict_ema",
  "model_ema",
)
# Errors of the standard library that a damaged or hostile file can cause.
MALFORMED = (
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  MemoryError,
  OSError,
  RuntimeError,  # too deep a pickle, an encrypted or unsupported zip
  TypeError,
  ValueError,
  struct.error,
  zipfile.BadZipFile,
)
# Function that returns the bytes of a storage, as many as it declares.
Fetch = Callable[[Storage], bytes]


def read(path: str | pathlib.Path) -> Any:
  """Reads a `.pth` or `.pt` file, zip or legacy.

  Args:
    path: The file.

  Returns:
    The saved object: dicts, lists, tuples, text, numbers and numpy arrays
    (some of them read-only). bfloat16 becomes float32, and objects that are not
    weights become `Inert`.

  Raises:
    UserError: The file is missing, damaged, of another kind, or asks for
      anything but data.
  """
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      return _read(file)
  except UserError as error:
    raise UserError(f"Cannot read the weights in {path}: {error}") from None
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise UserError(
      f"Cannot read the weights in {path}: {error.strerror}. Expected "
      "the path of a .pth file."
    ) from None
  except MALFORMED as error:
    raise UserError(
      f"Cannot read the weights in {path}: the file is damaged or incomplete "
      f"({type(error).__name__}: {error}). Fetch it again."
    ) from error


def state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the state dict of a file, also from inside wrapper dicts.

  Wrapper keys (`WRAPPERS`) are removed, and so is the prefix `module.` of
  data-parallel training. Entries that are not arrays are left out.

  Args:
    path: The file.

  Returns:
    Arrays by name.

  Raises:
    UserError: See `read`, or there is no state dict.
  """
  found = read(path)
  for _ in range(3):  # a hostile file may hold itself
    inner = found if isinstance(found, dict) else {}
    inner = [inner[k] for k in WRAPPERS if isinstance(inner.get(k), dict)]
    found = inner[0] if inner else found
  arrays = {}
  if isinstance(found, dict):
    arrays = {k: v for k, v in found.items() if isinstance(v, np.ndarray)}
  if not arrays or not all(isinstance(key, str) for key in arrays):
    got = list(found)[:5] if isinstance(found, dict) else type(found).__name__
    raise UserError(
      f"No state dict in {path}: expected arrays by name, at the top or under "
      f"one of {', '.join(WRAPPERS)}; got {got}."
    )
  if all(key.startswith("module.") for key in arrays):
    arrays = {k.removeprefix("module."): v for k, v in arrays.items()}
  return arrays


def _read(file: BinaryIO) -> Any:
  start = file.read(TAR_MAGIC_AT + len(TAR_MAGIC))
  if start.startswith(ZIP_MAGIC):
    return _read_zip(file)
  if start[TAR_MAGIC_AT:] == TAR_MAGIC:
    raise UserError(
      "it has the tar layout of 2016, which is not supported; load and save "
      "it again with a current PyTorch."
    )
  if start[:1] != b"\x80":
    raise UserError("it is not a PyTorch file (neither zip nor pickle).")
  with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
    return _read_legacy(data)


def _read_zip(file: BinaryIO) -> Any:
  with zipfile.ZipFile(file) as archive:
    entries = {info.filename: info for info in archive.infolist()}
    tops = [n[: -len("data.pkl")] for n in entries if n.endswith("/data.pkl")]
    if len(tops) != 1:
      raise UserError("it is a zip archive but not a PyTorch file.")
    top = tops[0]
    if f"{top}constants.pkl" in entries:
      raise UserError(
        "it is a TorchScript program, not weights; save only its state dict."
      )

    def entry(name: str, size: int | None = None) -> bytes:
      info = entries[top + name]
      # Checked before reading: a compressed entry could unpack to any size.
      if info.compress_type != zipfile.ZIP_STORED:
        raise UserError(f"its entry {name!r} is compressed; expected stored.")
      if size is not None and info.file_size != size:
        raise UserError(
          f"its entry {name!r} has {info.file_size} bytes; {size} declared."
        )
      data = archive.read(info)
      # The archive may declare a wrong size, too.
      if len(data) != info.file_size:
        raise UserError(f"its entry {name!r} is cut short.")
      return data

    order = entry("byteorder") if f"{top}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
      raise UserError(f"its byte order is {order[:20]!r}.")
    tree, storages = restricted_pickle.load(io.BytesIO(entry("data.pkl")))
    filler = _Filler(
      lambda storage: entry(f"data/{storage.key}", storage.nbytes),
      storages,
      file_bytes=file.seek(0, io.SEEK_END),
      byte_order=">" if order == b"big" else "<",
    )
    return filler.fill(tree)


def _read_legacy(data: mmap.mmap) -> Any:
  stream = cast(BinaryIO, data)  # it has the methods that are used
  # Magic number, protocol, sizes of the writer's types, object, storage keys.
  if restricted_pickle.load(stream)[0] != LEGACY_MAGIC:
    raise UserError("it is a pickle but not a PyTorch file.")
  for _ in range(2):
    restricted_pickle.load(stream)
  tree, storages = restricted_pickle.load(stream)
  keys, _ = restricted_pickle.load(stream)
  places, at = {}, data.tell()
  for key in keys:
    (count,) = struct.unpack_from("<q", data, at)
    storage = storages[str(key)]
    if count != storage.numel:
      raise UserError(
        f"storage {key} holds {count} elements; {storage.numel} declared."
      )
    places[storage.key] = at + 8
    at += 8 + storage.nbytes
  if at > len(data):
    raise UserError(f"it ends after {len(data)} bytes; {at} declared.")

  def fetch(storage: Storage) -> bytes:
    start = places[storage.key]
    return data[start : start + storage.nbytes]

  return _Filler(fetch, storages, len(data), byte_order="<").fill(tree)


class _Filler:
  """Replaces tensors by arrays."""

  def __init__(
    self,
    fetch: Fetch,
    storages: dict[str, Storage],
    file_bytes: int,
    byte_order: Literal["<", ">"],
  ):
    self.fetch = fetch
    self.byte_order: Literal["<", ">"] = byte_order
    self.flat: dict[str, np.ndarray] = {}  # by storage key
    self.done: dict[int, Any] = {}  # by id; shared parts are visited once
    self.budget = MAX_GROWTH * file_bytes
    declared = sum(storage.nbytes for storage in storages.values())
    if declared > file_bytes:
      raise UserError(
        f"it declares {declared} bytes of storages but has {file_bytes}."
      )

  def fill(self, node: Any) -> Any:
    """Returns `node` with every tensor in it replaced by an array."""
    if id(node) in self.done:
      return self.done[id(node)]
    if isinstance(node, dict | list):
      self.done[id(node)] = node  # set first, as it may contain itself
      items = node.items() if isinstance(node, dict) else enumerate(node)
      for key, value in list(items):
        node[key] = self.fill(value)
    elif isinstance(node, tuple):
      self.done[id(node)] = tuple(self.fill(value) for value in node)
    elif isinstance(node, Tensor):
      self.done[id(node)] = self.array(node)
    else:
      return node
    return self.done[id(node)]

  def array(self, tensor: Tensor) -> np.ndarray:
    """Returns a tensor's values as a contiguous array."""
    _check_view(tensor)
    storage = tensor.storage
    item = storage.dtype.itemsize
    narrow = storage.dtype == ml_dtypes.bfloat16
    dtype = np.dtype(np.float32) if narrow else storage.dtype
    if 0 in tensor.size:
      return np.empty(tensor.size, dtype)
    self.budget -= math.prod(tensor.size) * dtype.itemsize
    if self.budget < 0:
      raise UserError(
        f"its tensors would take more than {MAX_GROWTH} times its bytes."
      )
    if storage.key not in self.flat:
      raw = storage.dtype.newbyteorder(self.byte_order)
      self.flat[storage.key] = np.frombuffer(self.fetch(storage), raw)
    view = np.lib.stride_tricks.as_strided(
      self.flat[storage.key][tensor.offset :],
      tensor.size,
      [step * item for step in tensor.stride],
    )
    return view.astype(dtype, order="C", copy=False)


def _check_view(tensor: Tensor) -> None:
  """Raises unless every element of the tensor is inside its storage."""
  offset, size, stride = tensor.offset, tensor.size, tensor.stride
  numbers = (offset, *size, *stride)
  valid = all(type(n) is int and n >= 0 for n in numbers)
  if valid and len(size) == len(stride):
    if 0 in size:
      return
    steps = ((n - 1) * step for n, step in zip(size, stride, strict=True))
    if offset + sum(steps) < tensor.storage.numel:
      return
  raise UserError(
    f"a tensor of size {size}, stride {stride}, offset {offset} does not fit "
    f"its storage of {tensor.storage.numel} elements."
  )
