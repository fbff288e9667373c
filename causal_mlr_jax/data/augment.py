"""Random ops of published training recipes; see `preprocess`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.image_ops import Op, cropped, random_place, resized

# Places of a crop, in quarters of the room it has: (down, right). The four
# corners, the centre, the middles of the four sides and four places half way
# between centre and corners.
OFFSETS = (
  *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
  *((0, 2), (2, 0), (2, 4), (4, 2)),
  *((1, 1), (1, 3), (3, 1), (3, 3)),
)
# Where RandAugment moves an image away, and its own squares.
GREY, PATCH = (128, 128, 128), (125, 122, 113)
LEVELS = 10


def multi_scale_crop(
  size: int,
  scales: Sequence[float] = (1, 0.875, 0.75, 0.66, 0.5),
  max_distort: int = 2,
) -> Op:
  """Crops one of some sizes at one of 13 places, then resizes to a square.

  Height and width are uniform over the pairs of sizes whose places in
  `scales` differ by at most `max_distort`. The crop of ML-GCN, ADD-GCN and
  TDRG, from temporal segment networks (Wang et al., 2016); ADD-GCN and TDRG
  put 'resize(size + 64)' before it, all three 'flip_lr' after it.

  Args:
    size: of the result, in pixels.
    scales: sizes as parts of the shorter side, in (0, 1].
    max_distort: 0 crops squares alone.

  Raises:
    UserError: a scale outside (0, 1] or none.
  """
  if not scales or not all(0 < scale <= 1 for scale in scales):
    raise UserError(
      f"Preprocessing: multi_scale_crop got scales={tuple(scales)}; expected "
      "parts of the shorter side, above 0 and at most 1, such as (1, 0.75)."
    )
  places = range(len(scales))
  pairs = [(i, j) for i in places for j in places if abs(i - j) <= max_distort]

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sides = [max(int(scale * min(image.shape[:2])), 1) for scale in scales]
    h, w = (sides[i] for i in pairs[rng.integers(len(pairs))])
    down, right = OFFSETS[rng.integers(len(OFFSETS))]
    top = down * ((image.shape[0] - h) // 4)
    left = right * ((image.shape[1] - w) // 4)
    return resized(cropped(image, top, left, h, w), size, size)

  return op


def random_choice_crop(sizes: Sequence[int]) -> Op:
  """Crops a square of one of `sizes` pixels at a uniformly random place.

  SSGRL and C-Tran: 'resize(640)|random_choice_crop((640, 576, 512, 384,
  320))|resize(576)', and C-Tran 'flip_lr' after it.

  Raises:
    UserError: no sizes, or ones that are not positive.
  """
  if not sizes or min(sizes) < 1:
    raise UserError(
      f"Preprocessing: random_choice_crop got sizes={tuple(sizes)}; expected "
      "at least one size in pixels, such as (640, 576)."
    )

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_place(image, sizes[rng.integers(len(sizes))], rng)

  return op


def cutout(length: int) -> Op:
  """Fills a square of one random colour, centred on a random pixel.

  What lies beyond the border is cut off (DeVries and Taylor, 2017). The
  scripts of CCD and IDA draw one square of 224 on images of 448. Those of
  Q2L leave the length at -1, which draws nothing, so leave the op out there.

  Args:
    length: side of the square, in pixels.

  Raises:
    UserError: a length that is not positive.
  """
  if length < 1:
    raise UserError(
      f"Preprocessing: cutout got length={length}; expected the side of the "
      "square in pixels, at least 1. Leave 'cutout' out for no square."
    )

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _filled(image, length, rng, rng.integers(0, 256, 3))

  return op


def rand_augment(
  num_ops: int = 2, max_level: int = 9, probability: float = 0.5
) -> Op:
  """Applies `num_ops` of the 15 `TRANSFORMS`, each with a probability.

  Op and level are uniform and independent. Q2L, CCD and IDA train with the
  defaults, those of the package `randaugment` 1.0.2, whose ranges these are;
  it differs from RandAugment (Cubuk et al., 2020), which has one level for
  all, no probability, and other ops.

  Args:
    num_ops: how many are drawn, with replacement.
    max_level: the level is one of 1 to this, at most 9.
    probability: of applying an op that is drawn.

  Raises:
    UserError: a number of ops, a level or a probability out of range.
  """
  if num_ops < 1 or not 1 <= max_level < LEVELS or not 0 <= probability <= 1:
    raise UserError(
      f"Preprocessing: rand_augment got num_ops={num_ops}, max_level="
      f"{max_level}, probability={probability}; expected num_ops of at least "
      f"1, max_level from 1 to {LEVELS - 1} and probability from 0 to 1."
    )
  transforms = tuple(TRANSFORMS.values())

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for _ in range(num_ops):
      transform = transforms[rng.integers(len(transforms))]
      strength = int(rng.integers(1, max_level + 1)) / (LEVELS - 1)
      if rng.random() < probability:
        image = np.asarray(transform(Image.fromarray(image), strength, rng))
    return image

  return op


# From an image, a strength in [0, 1] and a generator to an image.
Transform = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def _filled(
  image: np.ndarray,
  length: int,
  rng: np.random.Generator,
  colour: Sequence[int] | np.ndarray,
) -> np.ndarray:
  image = image.copy()
  top, left = (int(rng.integers(n)) - length // 2 for n in image.shape[:2])
  rows = slice(max(top, 0), max(top + length, 0))
  columns = slice(max(left, 0), max(left + length, 0))
  image[rows, columns] = colour
  return image


def _either_sign(value: float, rng: np.random.Generator) -> float:
  return value if rng.random() < 0.5 else -value


def _plain(function: Callable[[Image.Image], Image.Image]) -> Transform:
  """Makes a transform of a function that has no strength."""
  return lambda image, strength, rng: function(image)


def _enhanced(enhancer: type) -> Transform:
  """Makes a transform to less or more of a property, 1 +- [0, 0.9]."""

  def transform(
    image: Image.Image, strength: float, rng: np.random.Generator
  ) -> Image.Image:
    return enhancer(image).enhance(1 + _either_sign(0.9 * strength, rng))

  return transform


def _moved(
  entry: int, limit: float, sampling: Image.Resampling, times_size: bool = False
) -> Transform:
  """Makes an affine transform with one entry in +- [0, limit].

  Args:
    entry: which of the six numbers of Pillow's affine transform.
    limit: of that entry.
    sampling: how pixels are interpolated.
    times_size: the limit is a part of the width (entry 2) or height (5).
  """

  def transform(
    image: Image.Image, strength: float, rng: np.random.Generator
  ) -> Image.Image:
    matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    scale = image.size[entry // 3] if times_size else 1
    matrix[entry] = _either_sign(limit * strength * scale, rng)
    return image.transform(
      image.size, Image.Transform.AFFINE, matrix, sampling, fillcolor=GREY
    )

  return transform


def _rotate(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  del rng  # counter-clockwise alone, as in the package
  return image.rotate(30 * strength, fillcolor=GREY)


def _posterize(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  del rng
  return ImageOps.posterize(image, round(8 - 4 * strength))


def _solarize(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  del rng
  return ImageOps.solarize(image, math.ceil(256 * (1 - strength)))


def _patch(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  side = round(20 * strength)
  return Image.fromarray(_filled(np.asarray(image), side, rng, PATCH))


_NEAREST, _BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
TRANSFORMS: dict[str, Transform] = {
  "invert": _plain(ImageOps.invert),
  "auto_contrast": _plain(ImageOps.autocontrast),
  "equalize": _plain(ImageOps.equalize),
  "posterize": _posterize,
  "solarize": _solarize,
  "color": _enhanced(ImageEnhance.Color),
  "contrast": _enhanced(ImageEnhance.Contrast),
  "sharpness": _enhanced(ImageEnhance.Sharpness),
  "brightness": _enhanced(ImageEnhance.Brightness),
  "shear_x": _moved(1, 0.3, _BICUBIC),
  "shear_y": _moved(3, 0.3, _BICUBIC),
  "translate_x": _moved(2, 150 / 331, _NEAREST, times_size=True),
  "translate_y": _moved(5, 150 / 331, _NEAREST, times_size=True),
  "rotate": _rotate,
  "cutout": _patch,
}
