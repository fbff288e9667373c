"""Shards of a converted data set: what goes into each, and writing them."""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import atomic_files, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.convert import tfds_files
from causal_mlr_jax.data.formats import image_check
from causal_mlr_jax.data.formats.image_check import Checked
from causal_mlr_jax.data.formats.raw_dataset import Item, Source

IMAGES_A_SHARD = 256
# A reader keeps one file open for each shard; systems allow 1,024.
MAX_SHARDS = 128
# Of the order of the images in a split.
ORDER_SEED = 2026
NAMED = 20  # at most so many files are named in a message
Known = Mapping[str, Any]  # of a whole shard, see `write`


class Shard(NamedTuple):
  """One file of a split.

  Attributes:
    split: whose file it is.
    filename: in the form of TFDS.
    items: its images, in order.
    key: changes with the names, the sizes and the labels of the images.
  """

  split: str
  filename: str
  items: Sequence[Item]
  key: str


class Folders(NamedTuple):
  """Where a conversion writes.

  Attributes:
    data: the shards.
    state: what is known of the whole ones.
  """

  data: pathlib.Path
  state: pathlib.Path


def plan(name: str, source: Source, root: pathlib.Path) -> list[Shard]:
  """Shares the images of all splits out to shards, in a fixed random order.

  Args:
    name: of the data set.
    source: its images.
    root: folder that the names of images are taken relative to.

  Raises:
    UserError: an image file is missing, or a split is empty.
  """
  found = []
  for split, items in source.splits.items():
    if not items:
      raise UserError(
        f"The split {split!r} of {name} has no image; check the files in "
        f"{root}."
      )
    order = np.random.default_rng(ORDER_SEED).permutation(len(items))
    ordered = [items[i] for i in order]
    sizes = _sizes(name, ordered)
    step = max(IMAGES_A_SHARD, -(-len(ordered) // MAX_SHARDS))
    starts = range(0, len(ordered), step)
    for k, start in enumerate(starts):
      part = slice(start, start + step)
      filename = tfds_files.shard_name(name, split, k, len(starts))
      key = _key(ordered[part], sizes[part], root)
      found.append(Shard(split, filename, ordered[part], key))
  return found


def _sizes(name: str, items: Sequence[Item]) -> list[int]:
  def size(item: Item) -> int:
    try:
      return item.path.stat().st_size
    except FileNotFoundError:
      return -1

  with futures.ThreadPoolExecutor(16) as pool:  # a network's latency hides
    sizes = list(pool.map(size, items))
  missing = [x.path for x, n in zip(items, sizes, strict=True) if n < 0]
  if missing:
    raise UserError(
      f"{len(missing):,} image files of {name} are missing:\n"
      f"{listed(missing)}\nUnpack the archives anew, or correct the list that "
      "names them."
    )
  return sizes


def listed(lines: Sequence[Any]) -> str:
  """Returns one line for each of the first `NAMED`, and how many are left."""
  shown = [f"  {line}" for line in lines[:NAMED]]
  if len(lines) > NAMED:
    shown.append(f"  and {len(lines) - NAMED:,} more")
  return "\n".join(shown)


def _key(
  items: Sequence[Item], sizes: Sequence[int], root: pathlib.Path
) -> str:
  digest = hashlib.sha256()
  for item, size in zip(items, sizes, strict=True):
    path = os.path.relpath(item.path, root)
    digest.update(f"{path}\0{size}\0{item.image_id}\0".encode())
    digest.update(np.asarray(item.labels, np.uint8).tobytes())
  return digest.hexdigest()[:32]


def write(
  shard: Shard, images: Sequence[Checked], num_labels: int, folders: Folders
) -> Known:
  """Writes the good images of a shard, then that it is whole.

  Args:
    shard: what to write.
    images: its images as they were read.
    num_labels: N.
    folders: where to.

  Returns:
    What `done` returns of it later.

  Raises:
    OSError: it cannot be written.
  """
  path = folders.data / shard.filename
  temporary = atomic_files.temporary_path(path)
  both = list(zip(shard.items, images, strict=True))
  try:
    num_bytes = tfds_files.write_records(
      temporary,
      [item for item, image in both if not image.problem],
      [image.data for image in images if not image.problem],
      num_labels,
    )
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)
  bad = [[k, x.problem] for k, x in enumerate(images) if x.problem]
  known = {
    "key": shard.key,
    "file_bytes": path.stat().st_size,
    "records": len(both) - len(bad),
    "record_bytes": num_bytes,
    "bad": bad,
  }
  atomic_files.write_json(folders.state / f"{shard.filename}.json", known)
  return known


def done(shard: Shard, folders: Folders) -> Known | None:
  """Returns what `write` did for a shard that is whole and still fits.

  One that had bad images is not taken for whole: they may have been mended.
  """
  path = folders.data / shard.filename
  note = folders.state / f"{shard.filename}.json"
  if not (path.exists() and note.exists()):
    return None
  known = atomic_files.read_json(note)
  fits = known["key"] == shard.key and not known["bad"]
  return known if fits and path.stat().st_size == known["file_bytes"] else None


def write_all(
  name: str,
  shards: Sequence[Shard],
  num_labels: int,
  folders: Folders,
  enough_bad: int,
) -> dict[str, Known]:
  """Checks the images and writes the shards that are not there yet.

  Args:
    name: of the data set.
    shards: all of them.
    num_labels: N.
    folders: where to.
    enough_bad: after so many bad images it stops.

  Returns:
    What is known of each shard, by its file's name.

  Raises:
    OSError: a shard cannot be written.
  """
  found = {s.filename: k for s in shards if (k := done(s, folders)) is not None}
  todo = [shard for shard in shards if shard.filename not in found]
  total, left = (sum(len(s.items) for s in x) for x in (shards, todo))
  if 0 < left < total:
    progress.say(f"data: going on with {len(todo)} of {len(shards)} shards")
  bad = 0
  pool = futures.ThreadPoolExecutor(os.cpu_count())
  title = f"preparing {name}"
  try:
    with (
      image_check.strict(),
      progress.bar(title, total, done=total - left) as bar,
    ):
      for shard, pending in _checking(pool, todo):
        images = []
        for image in pending:
          images.append(image.result())
          bar.advance()
        known = write(shard, images, num_labels, folders)
        found[shard.filename] = known
        bad += len(known["bad"])
        if bad >= enough_bad:
          break
  finally:
    pool.shutdown(cancel_futures=True)
  return found


def _checking(
  pool: futures.Executor, shards: Sequence[Shard]
) -> Iterator[tuple[Shard, list[futures.Future[Checked]]]]:
  """Yields shards in order; while one is written, the next one is checked."""
  waiting: collections.deque[Any] = collections.deque()
  for shard in shards:
    check = image_check.check
    pending = [pool.submit(check, item.path) for item in shard.items]
    waiting.append((shard, pending))
    if len(waiting) > 1:
      yield waiting.popleft()
  yield from waiting


class Skipped(NamedTuple):
  """An image that is left out, and why."""

  split: str
  path: str
  image_id: str
  problem: str


def skipped(
  shards: Sequence[Shard], known: Mapping[str, Known]
) -> list[Skipped]:
  """Returns the bad images of all shards that were written."""
  found = []
  for shard in shards:
    for place, problem in known.get(shard.filename, {"bad": ()})["bad"]:
      item = shard.items[place]
      path = os.fspath(item.path)
      found.append(Skipped(shard.split, path, item.image_id, problem))
  return found


def kept(
  shards: Sequence[Shard], known: Mapping[str, Known], split: str
) -> list[Item]:
  """Returns the images that the records of a split hold, in their order."""
  found: list[Item] = []
  for shard in shards:
    if shard.split == split:
      bad = {place for place, _ in known[shard.filename]["bad"]}
      found += [x for k, x in enumerate(shard.items) if k not in bad]
  return found
