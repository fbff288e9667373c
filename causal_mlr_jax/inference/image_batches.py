"""Images of any kind and size, as batches that a model takes."""

from __future__ import annotations

import functools
import io
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from PIL import Image

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import read_options
from causal_mlr_jax.data.formats import image_check
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.data.preprocess.decode import decode_bytes
from causal_mlr_jax.data.preprocess.resampling import resized
from causal_mlr_jax.data.preprocess.upright_rgb import to_rgb

# A path, encoded bytes, an image of Pillow, or uint8 pixels [H, W], [H, W, 3]
# or [H, W, 4].
ImageLike = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


class ImageReader:
  """Reads and preprocesses images as the training's evaluation does.

  Attributes:
    problems: Why an image could not be read, by its index.
  """

  def __init__(self, preprocess: str, shape: tuple[int, ...]):
    """Makes a reader.

    Args:
      preprocess: Preprocessing without random ops, see `op_string`.
      shape: Shape [H, W, 3] of its results.

    Raises:
      UserError: The preprocessing is not that of an evaluation.
    """
    op = op_string.after_decode(preprocess)
    if op is None:
      raise UserError(
        f"Preprocessing {preprocess!r} is for training: expected one without "
        "random ops that begins with 'decode'."
      )
    self._op, self._shape = op, tuple(shape)
    self.problems: dict[int, str] = {}

  def read(self, image: ImageLike) -> np.ndarray:
    """Returns the preprocessed pixels of an image, uint8 [H, W, 3].

    Raises:
      UserError: It cannot be read.
    """
    pixels = self._op(pixels_of(image), np.random.default_rng(0))
    if pixels.shape != self._shape:
      # The preprocessing keeps the size of the data set's own images.
      height, width = self._shape[:2]
      _say_resized(height, width)
      pixels = resized(pixels, height, width)
    return pixels

  def batches(
    self,
    images: Sequence[ImageLike],
    batch_size: int,
    reading: read_options.Reading = read_options.DEFAULT,
  ) -> Iterator[dict[str, np.ndarray]]:
    """Iterates over batches of one size, read by several threads.

    An image that cannot be read is black, has the mask 0, and is named in
    `problems`.

    Args:
      images: Images.
      batch_size: Number B of images in a batch; the last one is padded.
      reading: Threads and memory.

    Yields:
      Dicts of `image` uint8 [B, H, W, 3], `mask` float32 [B], `index` [B].
    """

    def load(place: int) -> dict[str, Any]:
      pixels, mask = np.zeros(self._shape, np.uint8), place < len(images)
      if mask:
        try:
          pixels = self.read(images[place])
        except UserError as error:
          self.problems[place], mask = str(error), False
      return {
        "image": pixels,
        "mask": np.float32(mask),
        "index": np.int32(place),
      }

    padded = -(-len(images) // batch_size) * batch_size
    size = batch_size * int(np.prod(self._shape))
    return iter(
      grain.MapDataset.range(padded)
      .map(load)
      .batch(batch_size, drop_remainder=True)
      .to_iter_dataset(reading.options(size))
    )


def pixels_of(image: ImageLike) -> np.ndarray:
  """Returns an image as upright RGB, uint8 [H, W, 3].

  Raises:
    UserError: It cannot be read, or is no image.
  """
  if isinstance(image, np.ndarray):
    return _of_array(image)
  if isinstance(image, Image.Image):
    return _of_pillow(image, "The image")
  if isinstance(image, bytes):
    return _of_bytes(image, "The image")
  path = pathlib.Path(image)
  try:
    return _of_bytes(path.read_bytes(), str(path))
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _of_array(image: np.ndarray) -> np.ndarray:
  if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
    raise UserError(
      "An image as an array must be uint8 [H, W], [H, W, 3] or [H, W, 4], "
      f"values 0 to 255; got {image.dtype} {list(image.shape)}."
    )
  try:
    return _of_pillow(Image.fromarray(image), "The array")
  except (TypeError, ValueError) as error:
    raise UserError(
      "An image as an array must have 1, 3 or 4 channels, the last axis; got "
      f"the shape {list(image.shape)}."
    ) from error


def _of_bytes(data: bytes, name: str) -> np.ndarray:
  if data.startswith(image_check.SIGNATURES):
    try:
      return decode_bytes(data)
    except UserError as error:
      raise UserError(f"{name}: {error}") from error
  try:
    with Image.open(io.BytesIO(data)) as image:
      return _of_pillow(image, name)
  except (OSError, Image.DecompressionBombError) as error:
    raise UserError(
      f"{name} cannot be decoded: it is {len(data):,} bytes that begin with "
      f"{data[:8]!r}. Expected JPEG, PNG, WebP, BMP, GIF or TIFF."
    ) from error


def _of_pillow(image: Image.Image, name: str) -> np.ndarray:
  try:
    return np.asarray(to_rgb(image))
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    text = str(error).partition(" <_io")[0]
    raise UserError(f"{name} cannot be decoded: {text}.") from error


@functools.cache
def _say_resized(height: int, width: int) -> None:
  progress.say(
    f"images: those of another size are resized to {height} x {width}, the "
    "size of the images that the model was trained on"
  )
