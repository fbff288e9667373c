"""Image preprocessing on the host, described by a string.

'decode|random_crop(64, 4)|flip_lr' decodes, pads by 4 pixels and crops a random
square of 64 pixels, and mirrors half of the images. An op takes and returns a
uint8 image [H, W, 3]; its random choices come from the example's own generator.
Pixels are normalised on the device, so that images are transferred as bytes.

A string without random ops, for evaluation, applies the ops one by one, with
Pillow. A string with random ops, for training, resizes with a faster filter
(`resampling.sampled`), and performs a 'decode|random_resized_crop(224)' or
'decode|random_resized_crop(224)|flip_lr' at the beginning in one step
(`decode_random_resized_crop`).
"""

from __future__ import annotations

import ast
import inspect
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.data.preprocess.ops import (
  FAST,
  OPS,
  RANDOM,
)
from causal_mlr_jax.data.preprocess.random_crops import (
  decode_random_resized_crop,
)
from causal_mlr_jax.data.preprocess.resampling import Op


class _Step(NamedTuple):
  name: str
  args: list[Any]
  kwargs: dict[str, Any]
  op: Op


def parse(text: str) -> Op:
  """Turns a preprocessing string into one op.

  Args:
    text: Op calls joined by '|', with Python literals as arguments.

  Raises:
    UserError: An op is unknown, or arguments or syntax are wrong.
  """
  steps = _parse_all(text)
  ops, names = [step.op for step in steps], [step.name for step in steps]
  if _is_fused(names):
    crop, mirror = steps[1], names[2:3] == ["flip_lr"]
    fused = decode_random_resized_crop(*crop.args, **crop.kwargs, mirror=mirror)
    ops[: 2 + mirror] = [fused]
  return _chain(ops)


def after_decode(text: str) -> Op | None:
  """Returns the ops after an initial 'decode' as one op on decoded images.

  Returns None if the string does not begin with 'decode', or if the decoding is
  fused with the next op.

  Raises:
    UserError: See `parse`.
  """
  steps = _parse_all(text)
  names = [step.name for step in steps]
  if names[0] != "decode" or _is_fused(names):
    return None
  return _chain([step.op for step in steps[1:]])


def describe(text: str) -> list[dict[str, Any]]:
  """Returns the ops as data, for other programs.

  Args:
    text: See `parse`.

  Returns:
    One dict an op: its name `op`, and its arguments by name.

  Raises:
    UserError: See `parse`.
  """
  found = []
  for step in _parse_all(text):
    bound = inspect.signature(OPS[step.name]).bind(*step.args, **step.kwargs)
    bound.apply_defaults()
    found.append({"op": step.name, **bound.arguments})
  return found


def _parse_all(text: str) -> list[_Step]:
  steps = [_parse_one(part.strip(), text) for part in text.split("|")]
  if not RANDOM & {step.name for step in steps}:
    return steps
  return [
    step._replace(op=FAST[step.name](*step.args, **step.kwargs))
    if step.name in FAST
    else step
    for step in steps
  ]


def _is_fused(names: list[str]) -> bool:
  return names[:2] == ["decode", "random_resized_crop"]


def _chain(ops: list[Op]) -> Op:
  def run(data: Any, rng: np.random.Generator) -> np.ndarray:
    for op in ops:
      data = op(data, rng)
    return np.ascontiguousarray(data)

  return run


def _parse_one(part: str, text: str) -> _Step:
  try:
    node = ast.parse(part, mode="eval").body
    name, args, kwargs = _call(node)
  except (SyntaxError, ValueError) as error:
    raise UserError(
      f"Preprocessing {text!r}: cannot read {part!r}; expected ops such as "
      "'flip_lr' or 'resize(64)', joined by '|'."
    ) from error
  if name not in OPS:
    raise unknown_name("preprocessing op", name, OPS)
  try:
    return _Step(name, args, kwargs, OPS[name](*args, **kwargs))
  except TypeError as error:
    raise UserError(
      f"Preprocessing {text!r}: {name}{inspect.signature(OPS[name])} does not "
      f"take the arguments of {part!r}: {error}."
    ) from error


def _call(node: ast.expr) -> tuple[str, list[Any], dict[str, Any]]:
  if isinstance(node, ast.Name):
    return node.id, [], {}
  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
    args = [ast.literal_eval(a) for a in node.args]
    kwargs = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
    return node.func.id, args, kwargs
  raise ValueError("not a call")
