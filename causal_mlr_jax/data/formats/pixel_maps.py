"""Reads which values occur in a label map, a PNG with one byte per pixel."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures

import numpy as np
from PIL import Image

from causal_mlr_jax.core import atomic_files, progress
from causal_mlr_jax.data.formats import image_check
from causal_mlr_jax.data.formats.reading import NAMED, Problems

VALUES = 256
MAPS_A_CHUNK = 2048
# Pixel formats that are accepted. Grey maps with fewer than 8 bits are not:
# Pillow scales their values.
_DEPTHS = ("L", "P", "P;1", "P;2", "P;4")


def present(
  paths: Sequence[pathlib.Path],
  title: str,
  cache: pathlib.Path | None,
  problems: Problems,
) -> np.ndarray:
  """Returns which values occur in each map, bool [M, 256].

  Args:
    paths: Paths of M maps.
    title: Title of the progress bar.
    cache: Folder for the results of each chunk, so that another call with the
      same files does not read them again; None disables the cache.
    problems: Receives the maps that cannot be read. Reading stops after `NAMED`
      of them, and the rows of the remaining maps are empty.
  """
  found = np.zeros((len(paths), VALUES), bool)
  bad = 0
  pool = futures.ThreadPoolExecutor(os.cpu_count())
  try:
    with image_check.strict(), progress.bar(title, len(paths), "maps") as bar:
      for start in range(0, len(paths), MAPS_A_CHUNK):
        chunk = paths[start : start + MAPS_A_CHUNK]
        rows = found[start : start + MAPS_A_CHUNK]
        file = cache and cache / f"labels_{start // MAPS_A_CHUNK:05d}.npz"
        key = file and _key(chunk, pool)
        if file and key and _restore(file, key, rows):
          bar.advance(len(chunk))
          continue
        before = bad
        for k, values in enumerate(pool.map(_values, chunk)):
          bar.advance()
          if isinstance(values, str):
            problems.add(f"{chunk[k]} {values}")
            bad += 1
          else:
            rows[k] = values
        if bad >= NAMED:
          break
        if file and bad == before:
          atomic_files.write_arrays(file, key=np.array(key), present=rows)
  finally:
    pool.shutdown(cancel_futures=True)
  return found


def _key(paths: Sequence[pathlib.Path], pool: futures.Executor) -> str:
  digest = hashlib.sha256()
  for path, stat in zip(paths, pool.map(os.stat, paths), strict=True):
    name = f"{path.parent.name}/{path.name}"
    digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
  return digest.hexdigest()


def _restore(file: pathlib.Path, key: str, rows: np.ndarray) -> bool:
  if not file.exists():
    return False
  try:
    arrays = atomic_files.read_arrays(file)
    if str(arrays["key"]) != key:
      return False
    rows[:] = arrays["present"]
  except (OSError, ValueError, KeyError):
    return False  # the cache only saves time
  return True


def _values(path: pathlib.Path) -> np.ndarray | str:
  """Returns which values occur in a map, or what is wrong with the file."""
  try:
    with Image.open(path, formats=("PNG",)) as image:
      depth = image.tile[0][3]
      if image.mode not in ("L", "P") or depth not in _DEPTHS:
        return f"has pixels of the form {depth}, expected one byte each"
      return np.asarray(image.histogram()) > 0
  except OSError as error:
    return f"cannot be read: {error}"
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    return f"cannot be decoded: {error}"
