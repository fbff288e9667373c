"""Image preprocessing on the host, written as a string.

'decode|random_crop(64, 4)|flip_lr' decodes, pads by 4 and crops 64 at random,
and mirrors half of the images. An op takes and returns a uint8 image
[H, W, 3]; its random choices come from the example's own generator. Pixel
normalisation happens on the device, so that images travel as bytes.
"""

from __future__ import annotations

import ast
import inspect
import io
from typing import Any

import numpy as np
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.data import augment
from causal_mlr_jax.data.image_ops import (
  Factory,
  Op,
  cropped,
  random_place,
  resized,
)


def decode() -> Op:
  """Decodes PNG or JPEG bytes to RGB."""

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    del rng
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
      return np.array(image.convert("RGB"))

  return op


def resize(height: int, width: int = 0) -> Op:
  """Resizes to height x width (square by default), bilinear, antialiased."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return resized(image, height, width or height)

  return op


def resize_small(size: int) -> Op:
  """Resizes so that the shorter side is `size`, keeping the proportions."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    height, width = image.shape[:2]
    scale = size / min(height, width)
    return resized(image, round(height * scale), round(width * scale))

  return op


def central_crop(size: int) -> Op:
  """Crops the central square; the image must be at least that large."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    top, left = ((n - size) // 2 for n in image.shape[:2])
    return cropped(image, top, left, size, size)

  return op


def random_crop(size: int, padding: int = 0) -> Op:
  """Pads every side by reflection and crops a random square."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if padding:
      pad = ((padding, padding), (padding, padding), (0, 0))
      image = np.pad(image, pad, mode="reflect")
    return random_place(image, size, rng)

  return op


def random_resized_crop(size: int, min_area: float = 0.08) -> Op:
  """Crops a random area and aspect ratio and resizes it to a square.

  Area uniform in [min_area, 1] of the image, aspect log-uniform in [3/4,
  4/3]; ten tries, then the central square (the rule of torchvision).
  """

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    for _ in range(10):
      area = rng.uniform(min_area, 1) * height * width
      aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
      w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
      if 0 < w <= width and 0 < h <= height:
        top = int(rng.integers(height - h + 1))
        left = int(rng.integers(width - w + 1))
        return resized(cropped(image, top, left, h, w), size, size)
    square = central_crop(min(height, width))(image, rng)
    return resized(square, size, size)

  return op


def flip_lr() -> Op:
  """Mirrors half of the images left to right."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1] if rng.random() < 0.5 else image

  return op


OPS: dict[str, Factory] = {
  f.__name__: f
  for f in (
    decode,
    resize,
    resize_small,
    central_crop,
    random_crop,
    random_resized_crop,
    flip_lr,
    augment.multi_scale_crop,
    augment.random_choice_crop,
    augment.rand_augment,
    augment.cutout,
  )
}


def parse(text: str) -> Op:
  """Turns a preprocessing string into one op.

  Args:
    text: op calls joined by '|', arguments as Python literals.

  Raises:
    UserError: an unknown op, wrong arguments or wrong syntax.
  """
  ops = [_parse_one(part.strip(), text) for part in text.split("|")]

  def run(data: Any, rng: np.random.Generator) -> np.ndarray:
    for op in ops:
      data = op(data, rng)
    return np.ascontiguousarray(data)

  return run


def _parse_one(part: str, text: str) -> Op:
  try:
    node = ast.parse(part, mode="eval").body
    name, args, kwargs = _call(node)
  except (SyntaxError, ValueError) as error:
    raise UserError(
      f"Preprocessing {text!r}: cannot read {part!r}; expected an op such as "
      "'flip_lr' or 'resize(64)', joined by '|'."
    ) from error
  if name not in OPS:
    raise unknown_name("preprocessing op", name, OPS)
  try:
    return OPS[name](*args, **kwargs)
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
