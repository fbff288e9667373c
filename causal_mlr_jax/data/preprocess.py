"""Image preprocessing on the host, written as a string.

'decode|random_crop(64, 4)|flip_lr' decodes, pads by 4 and crops 64 at random,
and mirrors half of the images. An op takes and returns a uint8 image
[H, W, 3]; its random choices come from the example's own generator. Pixel
normalisation happens on the device, so that images travel as bytes.

'decode|random_resized_crop(224)' at the beginning is done in one step, see
`decode_random_resized_crop`; so is a 'flip_lr' that follows. All else, also for
evaluation, is exactly what the ops say one by one.
"""

from __future__ import annotations

import ast
import inspect
import io
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.data import augment, image_check, jpeg
from causal_mlr_jax.data.image_ops import (
  Box,
  Factory,
  Op,
  cropped,
  random_place,
  resized,
  sampled,
)

# Of the crops of `random_resized_crop`, width to height.
_LOG_ASPECTS = (np.log(3 / 4), np.log(4 / 3))


def decode() -> Op:
  """Decodes PNG or JPEG bytes to RGB; bytes that are neither a UserError.

  Transparency is dropped, not laid over a background: a transparent pixel
  takes the colour that the file stores for it, often black or white.
  """

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    del rng
    try:
      with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        return np.asarray(_rgb(image))
    except MemoryError:
      raise
    except Exception as error:  # Pillow raises nearly every kind of exception
      raise UserError(
        f"An image of {len(data):,} bytes that begin with {data[:8]!r} cannot "
        f"be decoded: {error}. Expected a whole JPEG or PNG file; replace it "
        "or leave it out, and prepare the data anew."
      ) from error

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
    box = _random_box(*image.shape[:2], min_area, rng)
    return resized(cropped(image, *box), size, size)

  return op


def decode_random_resized_crop(
  size: int, min_area: float = 0.08, mirror: bool = False
) -> Op:
  """Does 'decode|random_resized_crop(size, min_area)', faster.

  The crop, drawn from the header's size, is the same. Of a JPEG the part is
  decoded that the crop needs, scaled down while the crop stays at least as
  large as the result (see `jpeg`), and resized by OpenCV (see `sampled`). On
  crops of eight photographs of 640 x 480 the pixels then differ by 1.0 of 255
  on average at 224 pixels, by 2.9 over an image at most; at 448 by 0.3 and
  1.6. Where not (PNG, CMYK, a file that is cut off), the ops are done one by
  one.

  Args:
    size: of the result, in pixels.
    min_area: of the crop, as a part of the image's.
    mirror: does '|flip_lr' as well.
  """
  decode_all = decode()

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    image, frame = None, jpeg.read_frame(data)
    if frame is None:
      image = decode_all(data, rng)
      box = _random_box(*image.shape[:2], min_area, rng)
    else:
      box = _random_box(frame.height, frame.width, min_area, rng)
    mirrored = mirror and rng.random() < 0.5
    window = frame and jpeg.decode_window(data, frame, box, size)
    if window:
      scaled = Box(*(side / window.shrink for side in box))
      return sampled(window.image, scaled, size, mirrored, window.blurred)
    image = decode_all(data, rng) if image is None else image
    image = resized(cropped(image, *box), size, size)
    return cv2.flip(image, 1) if mirrored else image

  return op


def flip_lr() -> Op:
  """Mirrors half of the images left to right."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.flip(image, 1) if rng.random() < 0.5 else image

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


class _Step(NamedTuple):
  name: str
  args: list[Any]
  kwargs: dict[str, Any]
  op: Op


def parse(text: str) -> Op:
  """Turns a preprocessing string into one op.

  Args:
    text: op calls joined by '|', arguments as Python literals.

  Raises:
    UserError: an unknown op, wrong arguments or wrong syntax.
  """
  steps = _parse_all(text)
  ops, names = [step.op for step in steps], [step.name for step in steps]
  if _is_fused(names):
    crop, mirror = steps[1], names[2:3] == ["flip_lr"]
    fused = decode_random_resized_crop(*crop.args, **crop.kwargs, mirror=mirror)
    ops[: 2 + mirror] = [fused]
  return _chain(ops)


def after_decode(text: str) -> Op | None:
  """Returns what follows a 'decode' at the beginning, for decoded images.

  None if there is no such 'decode', or it is one with the step after it.

  Raises:
    UserError: as of `parse`.
  """
  steps = _parse_all(text)
  names = [step.name for step in steps]
  if names[0] != "decode" or _is_fused(names):
    return None
  return _chain([step.op for step in steps[1:]])


def _parse_all(text: str) -> list[_Step]:
  return [_parse_one(part.strip(), text) for part in text.split("|")]


def _is_fused(names: list[str]) -> bool:
  return names[:2] == ["decode", "random_resized_crop"]


def _chain(ops: list[Op]) -> Op:
  def run(data: Any, rng: np.random.Generator) -> np.ndarray:
    for op in ops:
      data = op(data, rng)
    return np.ascontiguousarray(data)

  return run


def _rgb(image: Image.Image) -> Image.Image:
  if image.mode == "RGB":
    return image
  if image.mode not in image_check.MODES:
    raise ValueError(f"it has pixels of the kind {image.mode}, not 8 bits")
  if isinstance(image.info.get("transparency"), bytes):
    # An opacity for each colour of a palette: Pillow warns unless asked for it.
    image = image.convert("RGBA")
  return image.convert("RGB")


def _random_box(
  height: int, width: int, min_area: float, rng: np.random.Generator
) -> Box:
  for _ in range(10):
    area = rng.uniform(min_area, 1) * height * width
    aspect = np.exp(rng.uniform(*_LOG_ASPECTS))
    w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    if 0 < w <= width and 0 < h <= height:
      top = int(rng.integers(height - h + 1))
      return Box(top, int(rng.integers(width - w + 1)), h, w)
  side = min(height, width)
  return Box((height - side) // 2, (width - side) // 2, side, side)


def _parse_one(part: str, text: str) -> _Step:
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
