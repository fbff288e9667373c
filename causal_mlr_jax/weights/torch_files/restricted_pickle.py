"""Reads the pickles inside PyTorch files without running anything.

A pickle is a program that may name and call any function. This reader goes
through its instructions (decoded by `pickletools`) and builds plain containers,
numbers and text. The few names that a weight file needs are listed in
`pickle_globals` and never imported. Any other name, and any instruction that
data does not need, is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.torch_files.pickle_globals import (
  ALLOWED,
  STORAGES,
  Global,
  Inert,
  Storage,
  Tensor,
  checked_key,
  construct,
)


class _Mark:
  """Marks a place on the stack."""


class _Reader:
  """The stack machine of the pickle format, limited to data."""

  def __init__(self):
    self.stack: list[Any] = []
    self.memo: dict[int, Any] = {}
    self.storages: dict[str, Storage] = {}

  def pop(self) -> Any:
    value = self.stack.pop()
    if value is _Mark:
      raise UserError("a pickle in it is malformed.")
    return value

  def pop_to_mark(self) -> list[Any]:
    for i in range(len(self.stack) - 1, -1, -1):
      if self.stack[i] is _Mark:
        values = self.stack[i + 1 :]
        del self.stack[i:]
        return values
    raise UserError("a pickle in it is malformed.")

  def top(self, kind: type) -> Any:
    if type(self.stack[-1]) is not kind:
      raise UserError("a pickle in it is malformed.")
    return self.stack[-1]

  def run(self, stream: BinaryIO) -> Any:
    for opcode, arg, _ in pickletools.genops(stream):
      name = opcode.name
      if name in VALUES:
        self.stack.append(arg)
      elif name in OPERATIONS:
        OPERATIONS[name](self, arg)
      elif name == "STOP":
        return self.pop()
      elif name not in ("PROTO", "FRAME"):
        raise UserError(
          f"it asks for the pickle instruction {name} ({arg!r}), which "
          "weights do not need; it was refused and nothing was run."
        )
    raise UserError("a pickle in it has no end.")

  def look_up(self, module: Any, name: Any) -> None:
    # Only text: hashing other objects from a file can overflow the stack.
    texts = isinstance(module, str) and isinstance(name, str)
    if not texts or (module, name) not in ALLOWED:
      raise UserError(
        f"it asks for {module}.{name}, which weights do not need; it was "
        "refused and nothing was run. Expected a file with only a state dict: "
        "load the file where you trust it, and save only its state dict."
      )
    self.stack.append(Global(module, name))

  def call(self) -> None:
    args = self.pop()
    self.stack.append(construct(self.pop(), args))

  def build(self) -> None:
    state = self.pop()
    if isinstance(self.stack[-1], Inert):
      self.stack[-1].state = state
    elif not isinstance(self.stack[-1], dict | Tensor):
      raise UserError("a pickle in it sets attributes of plain data.")
    # Otherwise a state dict's metadata or a parameter's flags: not needed.

  def set_items(self, items: list[Any]) -> None:
    keys = map(checked_key, items[::2])
    self.top(dict).update(zip(keys, items[1::2], strict=True))

  def load_storage(self) -> None:
    match self.pop():
      case (kind, Global() as tag, key, _, numel, *view) if (
        _text(kind) == "storage"
        and tag.module == "torch"
        and tag.name in STORAGES
        and type(numel) is int
        and numel >= 0
        and view in ([], [None])
      ):
        key = _text(key)
        storage = Storage(np.dtype(STORAGES[tag.name]), key, numel)
        if self.storages.setdefault(key, storage) != storage:
          raise UserError(f"it declares storage {key!r} in two ways.")
        self.stack.append(storage)
      case _:
        raise UserError(
          "it refers to something other than a plain storage (a whole "
          "pickled module, or a view): save only the state dict."
        )


def _text(value: Any) -> str:
  return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# Instructions whose argument is a value to push.
NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")
FLOATS = ("FLOAT", "BINFLOAT")
TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
OLD_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # of Python 2
BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
VALUES = frozenset((*NUMBERS, *FLOATS, *TEXTS, *OLD_TEXTS, *BYTES))


def _put(reader: _Reader, arg: int) -> None:
  reader.memo[arg] = reader.stack[-1]


def _get(reader: _Reader, arg: int) -> None:
  reader.stack.append(reader.memo[arg])


def _tuple(size: int) -> Callable[[_Reader, Any], None]:
  def run(reader: _Reader, _: Any) -> None:
    reader.stack.append(tuple(reader.pop() for _ in range(size))[::-1])

  return run


def _pairs(reader: _Reader, _: Any) -> None:
  items = reader.pop_to_mark()
  reader.stack.append({})
  reader.set_items(items)


def _set_item(reader: _Reader, _: Any) -> None:
  value, key = reader.pop(), reader.pop()
  reader.set_items([key, value])


def _append(reader: _Reader, _: Any) -> None:
  value = reader.pop()
  reader.top(list).append(value)


def _extend(reader: _Reader, _: Any) -> None:
  values = reader.pop_to_mark()
  reader.top(list).extend(values)


def _add_items(reader: _Reader, _: Any) -> None:
  values = reader.pop_to_mark()
  reader.top(set).update(map(checked_key, values))


def _stack_global(reader: _Reader, _: Any) -> None:
  name, module = reader.pop(), reader.pop()
  reader.look_up(module, name)


OPERATIONS: dict[str, Callable[[_Reader, Any], object]] = {
  "MARK": lambda r, _: r.stack.append(_Mark),
  "POP": lambda r, _: r.stack.pop(),
  "POP_MARK": lambda r, _: r.pop_to_mark(),
  "DUP": lambda r, _: r.stack.append(r.stack[-1]),
  "NONE": lambda r, _: r.stack.append(None),
  "NEWTRUE": lambda r, _: r.stack.append(True),
  "NEWFALSE": lambda r, _: r.stack.append(False),
  "EMPTY_TUPLE": lambda r, _: r.stack.append(()),
  "EMPTY_LIST": lambda r, _: r.stack.append([]),
  "EMPTY_DICT": lambda r, _: r.stack.append({}),
  "EMPTY_SET": lambda r, _: r.stack.append(set()),
  "TUPLE": lambda r, _: r.stack.append(tuple(r.pop_to_mark())),
  "TUPLE1": _tuple(1),
  "TUPLE2": _tuple(2),
  "TUPLE3": _tuple(3),
  "LIST": lambda r, _: r.stack.append(r.pop_to_mark()),
  "DICT": _pairs,
  "APPEND": _append,
  "APPENDS": _extend,
  "SETITEM": _set_item,
  "SETITEMS": lambda r, _: r.set_items(r.pop_to_mark()),
  "ADDITEMS": _add_items,
  "PUT": _put,
  "BINPUT": _put,
  "LONG_BINPUT": _put,
  "MEMOIZE": lambda r, _: _put(r, len(r.memo)),
  "GET": _get,
  "BINGET": _get,
  "LONG_BINGET": _get,
  "GLOBAL": lambda r, arg: r.look_up(*arg.split(" ", 1)),
  "STACK_GLOBAL": _stack_global,
  "REDUCE": lambda r, _: r.call(),
  "NEWOBJ": lambda r, _: r.call(),
  "BUILD": lambda r, _: r.build(),
  "BINPERSID": lambda r, _: r.load_storage(),
}


def load(stream: BinaryIO) -> tuple[Any, dict[str, Storage]]:
  """Reads one pickle.

  Args:
    stream: Stream at the pickle's first byte; left just after its last.

  Returns:
    The object, with `Tensor` placeholders, and the storages they view, by key.

  Raises:
    UserError: The pickle asks for anything but data.
  """
  reader = _Reader()
  return reader.run(stream), reader.storages
