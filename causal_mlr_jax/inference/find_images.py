"""The image files that a pattern, a folder or a list names."""

from __future__ import annotations

import glob
import pathlib

from causal_mlr_jax.core.errors import UserError

SUFFIXES = frozenset(
  (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
)


def find_images(text: str) -> list[pathlib.Path]:
  """Returns the paths of images, sorted unless they come from a list.

  Args:
    text: A folder, searched with all that is in it for files with the name of
      an image; a pattern such as 'photos/**/*.jpg'; a .txt file with one path a
      line, seen from the current folder or else from the list's; or an image.

  Raises:
    UserError: There is none.
  """
  path = pathlib.Path(text).expanduser()
  if path.is_dir():
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    expected = f"files that end with {', '.join(sorted(SUFFIXES))}"
  elif path.suffix == ".txt" and path.is_file():
    found = _listed(path)
    expected = "one path a line"
  elif path.is_file():
    found, expected = [path], ""
  else:
    found = sorted(map(pathlib.Path, glob.glob(str(path), recursive=True)))
    found = [p for p in found if p.is_file()]
    expected = "a folder, a pattern in quotes, a .txt list or an image"
  if not found:
    raise UserError(
      f"--images={text} names no image: expected {expected}. Check the path."
    )
  return found


def _listed(path: pathlib.Path) -> list[pathlib.Path]:
  try:
    lines = path.read_text().splitlines()
  except UnicodeDecodeError as error:
    raise UserError(
      f"{path} is not UTF-8 text: expected a list with one path a line."
    ) from error
  named = [pathlib.Path(line.strip()) for line in lines if line.strip()]
  return [p if p.exists() else path.parent / p for p in named]
