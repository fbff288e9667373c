"""The picture of an explanation: where the model saw each predicted label."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from causal_mlr_jax.core.types import ATTENTION
from causal_mlr_jax.inference import picture_text
from causal_mlr_jax.inference.explanation import Explanation, between_0_and_1

# Labels that are shown; the others are counted.
MOST_LABELS = 23
# Pixels: the longer side of an image, the narrowest panel, and distances.
LONGER_SIDE, NARROWEST, MARGIN, GAP = 300, 260, 24, 20
COLUMNS = 4
TITLE, LARGE, SMALL = 22, 17, 13
LINE = 20
# The width that the title and the colour bar need.
WIDEST_TEXT, BAR = 600, (120, 10)
BACKGROUND, INK, PALE, TRACK = "#ffffff", "#1c1e21", "#5c6370", "#e4e7eb"
# Of the first part of a method, the second, and so on.
PART_COLOURS = ("#2a66a5", "#b85c00", "#3d7d49")
# Colours of a map from 0 to 1, and how much of the image they cover there. The
# darkest of `inferno` are left out: they cannot be told from dark images.
COLOURS, DARKEST, COVER = "inferno", 0.3, 0.75


def draw(
  found: Explanation, chosen: Sequence[int], title: str, note: str = ""
) -> Image.Image:
  """Returns a picture: the image, and a panel for each chosen label.

  A panel shows the label's map over the image, its probability and its
  threshold, the probability of each part of the method, and what each part
  gives to the probability, where it is a sum of parts.

  Args:
    found: What the model saw in the image.
    chosen: Labels to show, by their places; of more than `MOST_LABELS` only the
      first.
    title: Name of the image.
    note: What there is to say beside it, for example that no label was found.
  """
  labels = list(chosen[:MOST_LABELS])
  if len(chosen) > len(labels):
    note = f"{note} and {len(chosen) - len(labels)} more labels".strip()
  height, width = _size(found.pixels)
  panel = max(width, NARROWEST)
  columns = min(COLUMNS, 1 + len(labels))
  rows = -(-(1 + len(labels)) // columns)
  below = _caption_height(found)
  top = MARGIN + 2 * LINE + TITLE + GAP
  across = max(columns * (panel + GAP) - GAP, WIDEST_TEXT)
  canvas = Image.new(
    "RGB",
    (2 * MARGIN + across, top + rows * (height + below + GAP) - GAP + MARGIN),
    BACKGROUND,
  )
  _header(canvas, found, title, across)
  for place in range(1 + len(labels)):
    row, column = divmod(place, columns)
    x = MARGIN + column * (panel + GAP)
    y = top + row * (height + below + GAP)
    if place:
      label = labels[place - 1]
      canvas.paste(_overlay(found, label, (width, height)), (x, y))
      _caption(canvas, found, label, (x, y + height), panel)
    else:
      image = Image.fromarray(found.pixels)
      canvas.paste(_resized(image, (width, height)), (x, y))
      _lines(canvas, note, (x, y + height + 6), panel)
  return canvas


def _size(pixels: np.ndarray) -> tuple[int, int]:
  """Returns height and width of an image in the picture."""
  scale = LONGER_SIDE / max(pixels.shape[:2])
  height, width = (max(1, round(scale * side)) for side in pixels.shape[:2])
  return height, width


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
  # Very small images would be nothing but blur if they were interpolated.
  tiny = size[0] >= 3 * image.width
  way = Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS
  return image.resize(size, way)


def _overlay(
  found: Explanation, label: int, size: tuple[int, int]
) -> Image.Image:
  """Returns the image in grey under the label's map in colours.

  A position of the map covers its share of the image, as its cell in a grid.
  """
  scaled_HW = between_0_and_1(found.maps[label], found.about)
  smooth = Image.fromarray(scaled_HW.astype(np.float32)).resize(
    size, Image.Resampling.BICUBIC
  )
  grey = _resized(Image.fromarray(found.pixels).convert("L"), size)
  return _coloured(np.asarray(smooth), np.asarray(grey, np.float32) / 255)


def _coloured(value_HW: np.ndarray, grey_HW: np.ndarray) -> Image.Image:
  """Returns values in colours over a grey image, both from 0 to 1."""
  value_HW = np.clip(value_HW, 0, 1)
  colours = matplotlib.colormaps[COLOURS](DARKEST + (1 - DARKEST) * value_HW)
  cover_HW1 = COVER * value_HW[..., None]
  mixed = (1 - cover_HW1) * grey_HW[..., None] + cover_HW1 * colours[..., :3]
  return Image.fromarray((255 * mixed).round().astype(np.uint8))


def _header(
  canvas: Image.Image, found: Explanation, title: str, across: int
) -> None:
  draw, x, y = ImageDraw.Draw(canvas), MARGIN, MARGIN
  for line in picture_text.lines(title, TITLE, across, bold=True):
    picture_text.write(draw, (x, y), line, TITLE, INK, bold=True)
  y += TITLE + 12
  attention = found.about.kind == ATTENTION
  says = f"{found.about.kind.capitalize()} of each label, from " + (
    "0" if attention else "its smallest"
  )
  picture_text.write(draw, (x, y), says, SMALL, PALE)
  x += round(picture_text.length(says, SMALL)) + 8
  ramp = np.broadcast_to(np.linspace(0, 1, BAR[0]), BAR[::-1])
  canvas.paste(_coloured(ramp, np.full_like(ramp, 0.5)), (x, y + 4))
  x += BAR[0] + 8
  picture_text.write(draw, (x, y), "to its largest value", SMALL, PALE)


def _caption_height(found: Explanation) -> int:
  parts = (LINE if found.parts else 0) + (14 if found.shares else 0)
  return 6 + 2 * LINE + 4 + parts


def _caption(
  canvas: Image.Image,
  found: Explanation,
  label: int,
  place: tuple[int, int],
  width: int,
) -> None:
  draw = ImageDraw.Draw(canvas)
  x, y = place[0], place[1] + 6
  number = f"{found.probabilities[label]:.2f}"
  room = width - picture_text.length(number, LARGE, bold=True) - 12
  (name,) = picture_text.lines(
    found.labels[label] or " ", LARGE, room, bold=True
  )
  picture_text.write(draw, (x, y), name, LARGE, INK, bold=True)
  right = x + width - picture_text.length(number, LARGE, bold=True)
  picture_text.write(draw, (right, y), number, LARGE, INK, bold=True)
  y += LINE + 4
  side = "above" if found.decisions[label] else "below"
  says = f"{side} its threshold, {found.thresholds[label]:.2f}"
  picture_text.write(draw, (x, y), says, SMALL, PALE)
  y += LINE
  if found.shares:
    _bar(draw, [s[label] for s in found.shares.values()], (x, y), width)
    y += 14
  _parts(draw, found, label, (x, y))


def _bar(
  draw: ImageDraw.ImageDraw,
  shares: Sequence[float],
  place: tuple[int, int],
  width: int,
) -> None:
  """Draws a bar that is divided by shares."""
  (x, y), done = place, 0.0
  draw.rectangle((x, y + 2, x + width - 1, y + 9), TRACK)
  for share, colour in zip(shares, PART_COLOURS, strict=False):
    left, done = x + round(width * done), done + float(share)
    right = x + round(width * done) - 1
    if right >= left:
      draw.rectangle((left, y + 2, right, y + 9), colour)


def _parts(
  draw: ImageDraw.ImageDraw,
  found: Explanation,
  label: int,
  place: tuple[float, float],
) -> None:
  """Writes the probability of each part, and its share if there is one."""
  x, y = place
  for i, (name, part) in enumerate(found.parts.items()):
    colour = PART_COLOURS[i % len(PART_COLOURS)] if found.shares else PALE
    says = f"{name} {part[label]:.2f}"
    if name in found.shares:
      says += f" ({100 * found.shares[name][label]:.0f} %)"
    picture_text.write(draw, (x, y), says, SMALL, colour)
    x += picture_text.length(says, SMALL) + 14


def _lines(
  canvas: Image.Image, text: str, place: tuple[int, int], width: int
) -> None:
  draw = ImageDraw.Draw(canvas)
  for i, line in enumerate(picture_text.lines(text, SMALL, width, 3)):
    where = (place[0], place[1] + i * LINE)
    picture_text.write(draw, where, line, SMALL, PALE)
