r"""Text in pictures, whatever it holds.

A character is drawn by the font that matplotlib brings, or by the first font of
the system that has it. Where none has, and for characters that nobody sees, its
escape is drawn, such as \u732b.
"""

from __future__ import annotations

import functools
import itertools
import pathlib
import unicodedata

import matplotlib
from matplotlib import font_manager, ft2font
from PIL import ImageDraw, ImageFont

ELLIPSIS = "…"
_OURS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
# Joiners and variation selectors only change the look of their neighbours.
_DROPPED = {0x200C, 0x200D, *range(0xFE00, 0xFE10)}


def lines(
  text: str, size: int, width: float, most: int = 1, *, bold: bool = False
) -> list[str]:
  """Returns the text broken into lines, with … where it is cut.

  Args:
    text: Any text.
    size: Size of the font, pixels.
    width: Largest width of a line, pixels.
    most: Largest number of lines.
    bold: Whether the font is bold.
  """
  rest, found = shown(text, bold=bold), []
  while rest:
    count = _fitting(rest, size, width, bold)
    if count < len(rest) and len(found) + 1 == most:
      room = width - length(ELLIPSIS, size, bold=bold)
      return [*found, rest[: _fitting(rest, size, room, bold)] + ELLIPSIS]
    # Lines end at spaces where there are any.
    space = rest.rfind(" ", 1, count + 1) if count < len(rest) else -1
    count = space if space > 0 else count
    found.append(rest[:count])
    rest = rest[count:].lstrip(" ")
  return found


def length(text: str, size: int, *, bold: bool = False) -> float:
  """Returns the width of a line of text in pixels."""
  return sum(
    _font(path, size).getlength(run) for path, run in _runs(text, bold)
  )


def write(
  draw: ImageDraw.ImageDraw,
  place: tuple[float, float],
  text: str,
  size: int,
  colour: str,
  *,
  bold: bool = False,
) -> None:
  """Draws a line of text.

  Args:
    draw: What draws on the picture.
    place: Left end of the line, and its top.
    text: Any text.
    size: Size of the font, pixels.
    colour: Colour of the text.
    bold: Whether the font is bold.
  """
  x, top = place
  for path, run in _runs(shown(text, bold=bold), bold):
    # On one baseline, whatever the fonts.
    draw.text((x, top + size), run, colour, _font(path, size), anchor="ls")
    x += _font(path, size).getlength(run)


def shown(text: str, *, bold: bool = False) -> str:
  """Returns a text with escapes for the characters that cannot be drawn."""
  return "".join(_shown(char, bold) for char in text)


def _shown(char: str, bold: bool) -> str:
  if ord(char) in _DROPPED:
    return ""
  seen = unicodedata.category(char)[0] != "C"
  if seen and _path_of(char, bold) is not None:
    return char
  return char.encode("unicode_escape").decode()


def _fitting(text: str, size: int, width: float, bold: bool) -> int:
  """Returns how many characters fit into the width, at least 1."""
  widths = itertools.accumulate(length(c, size, bold=bold) for c in text)
  return max(1, sum(x <= width for x in widths))


def _runs(text: str, bold: bool) -> list[tuple[str, str]]:
  """Returns consecutive characters of one font, and the path of the font."""
  ours = _ours(bold)
  grouped = itertools.groupby(text, lambda c: _path_of(c, bold) or ours)
  return [(path, "".join(chars)) for path, chars in grouped]


def _ours(bold: bool) -> str:
  return str(pathlib.Path(matplotlib.get_data_path(), "fonts/ttf", _OURS[bold]))


@functools.cache
def _path_of(char: str, bold: bool) -> str | None:
  """Returns the font that draws a character; None if there is none."""
  if ord(char) in _glyphs(_ours(bold)):
    return _ours(bold)
  others = (p for p in _others() if ord(char) in _glyphs(p))
  return next(others, None)


@functools.cache
def _others() -> list[str]:
  return sorted(font_manager.findSystemFonts())


@functools.cache
def _glyphs(path: str) -> frozenset[int]:
  """Returns the characters of a font; none if it cannot be used."""
  try:
    _font(path, 12)
    return frozenset(ft2font.FT2Font(path).get_charmap())
  except (OSError, RuntimeError):  # such as bitmaps of a single size
    return frozenset()


@functools.cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
  return ImageFont.truetype(path, size)
