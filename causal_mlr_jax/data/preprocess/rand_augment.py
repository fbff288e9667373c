"""The RandAugment variant of Query2Label, CCD and IDA; see `preprocess`.

Most transforms use Pillow, which gives the published pixels. The slow ones,
shear and sharpness, use OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess.cutout import filled
from causal_mlr_jax.data.preprocess.resampling import Op

# The colours of uncovered areas, and of RandAugment's own cutout.
GREY, PATCH = (128, 128, 128), (125, 122, 113)
# Pillow's `ImageFilter.SMOOTH`.
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
LEVELS = 10
# Maps an image, a strength in [0, 1] and a generator to an image.
Transform = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def rand_augment(
  num_ops: int = 2, max_level: int = 9, probability: float = 0.5
) -> Op:
  """Draws `num_ops` of the 15 `TRANSFORMS` and applies each with a probability.

  Transform and level are uniform and independent. Q2L, CCD and IDA train with
  the defaults of the package `randaugment` 1.0.2, which are the defaults and
  ranges here. That package differs from RandAugment (Cubuk et al., 2020), which
  has one level for all transforms, no probability, and other transforms.

  Args:
    num_ops: Number of transforms drawn, with replacement.
    max_level: Largest level, at most 9; the level is drawn from 1 to this.
    probability: Probability of applying a transform that is drawn.

  Raises:
    UserError: An argument is out of range.
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


def _either_sign(value: float, rng: np.random.Generator) -> float:
  return value if rng.random() < 0.5 else -value


def _plain(function: Callable[[Image.Image], Image.Image]) -> Transform:
  """Turns a function without a strength into a transform."""
  return lambda image, strength, rng: function(image)


def _enhanced(enhancer: type) -> Transform:
  """Returns a transform that scales an image property by 1 +- [0, 0.9]."""

  def transform(
    image: Image.Image, strength: float, rng: np.random.Generator
  ) -> Image.Image:
    return enhancer(image).enhance(1 + _either_sign(0.9 * strength, rng))

  return transform


def _translated(entry: int, limit: float) -> Transform:
  """Returns a horizontal or vertical shift.

  Args:
    entry: Entry of Pillow's affine transform: 2 (horizontal) or 5 (vertical).
    limit: Largest shift, as a fraction of the width or height.
  """

  def transform(
    image: Image.Image, strength: float, rng: np.random.Generator
  ) -> Image.Image:
    matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    scale = image.size[entry // 3]
    matrix[entry] = _either_sign(limit * strength * scale, rng)
    return image.transform(
      image.size, Image.Transform.AFFINE, matrix, fillcolor=GREY
    )

  return transform


def _sheared(row: int, limit: float) -> Transform:
  """Returns a horizontal or vertical bicubic shear.

  OpenCV is three times as fast as Pillow. Its cubic filter is slightly less
  sharp: on photographs, pixels differ by 0.6 of 255 on average.

  Args:
    row: Row of the affine matrix: 0 (horizontal) or 1 (vertical).
    limit: Largest shear, in pixels per pixel.
  """

  def transform(
    image: Image.Image, strength: float, rng: np.random.Generator
  ) -> Image.Image:
    shear = _either_sign(limit * strength, rng)
    # The matrix maps positions in the result to positions in the image. Pillow
    # measures from the corner of a pixel, OpenCV from its centre.
    matrix = np.eye(2, 3)
    matrix[row, 1 - row], matrix[row, 2] = shear, shear / 2
    pixels = cv2.warpAffine(
      np.asarray(image),
      matrix,
      image.size,
      flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
      borderMode=cv2.BORDER_CONSTANT,
      borderValue=GREY,
    )
    return Image.fromarray(pixels)

  return transform


def _sharpness(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  """Equals `ImageEnhance.Sharpness` within 1 of 255; five times faster."""
  factor = 1 + _either_sign(0.9 * strength, rng)
  pixels = np.asarray(image)
  smooth = cv2.filter2D(pixels, -1, SMOOTH)
  # Pillow leaves the border unchanged.
  smooth[[0, -1]], smooth[:, [0, -1]] = pixels[[0, -1]], pixels[:, [0, -1]]
  # OpenCV rounds to the nearest integer, Pillow rounds down.
  blended = cv2.addWeighted(pixels, factor, smooth, 1 - factor, -0.499)
  return Image.fromarray(blended)


def _rotate(
  image: Image.Image, strength: float, rng: np.random.Generator
) -> Image.Image:
  del rng  # only counter-clockwise, as in the package
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
  return Image.fromarray(filled(np.asarray(image), side, rng, PATCH))


TRANSFORMS: dict[str, Transform] = {
  "invert": _plain(ImageOps.invert),
  "auto_contrast": _plain(ImageOps.autocontrast),
  "equalize": _plain(ImageOps.equalize),
  "posterize": _posterize,
  "solarize": _solarize,
  "color": _enhanced(ImageEnhance.Color),
  "contrast": _enhanced(ImageEnhance.Contrast),
  "sharpness": _sharpness,
  "brightness": _enhanced(ImageEnhance.Brightness),
  "shear_x": _sheared(0, 0.3),
  "shear_y": _sheared(1, 0.3),
  "translate_x": _translated(2, 150 / 331),
  "translate_y": _translated(5, 150 / 331),
  "rotate": _rotate,
  "cutout": _patch,
}
