"""Assigns the images of a converted data set to shards, and writes them."""

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
# Seed of the order of the images in a split.
ORDER_SEED = 2026
NAMED = 20  # largest number of files that a message names
Known = Mapping[str, Any]  # facts about a complete shard, see `write`


class Shard(NamedTuple):
  """One file of a split.

  Attributes:
    split: Split that the file belongs to.
    filename: Name of the file, as TFDS expects it.
    items: Images of the shard, in order.
    key: Hash of the names, file sizes, ids and labels of the images.
  """

  split: str
  filename: str
  items: Sequence[Item]
  key: str


class Folders(NamedTuple):
  """The folders that a conversion writes to.

  Attributes:
    data: Folder of the shards.
    state: Folder of facts about the complete shards.
  """

  data: pathlib.Path
  state: pathlib.Path


def plan(name: str, source: Source, root: pathlib.Path) -> list[Shard]:
  """Assigns the images of all splits to shards, in a fixed random order.

  Args:
    name: Name of the data set.
    source: Data set with its images.
    root: Folder that the keys' image names are relative to.

  Raises:
    UserError: An image file is missing, or a split is empty.
  """
  found = []
  for split, items in source.splits.items():
    if not items:
      raise UserError(
        f"The split {split!r} of {name} has no images; check the files in "
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

  with futures.ThreadPoolExecutor(16) as pool:  # hides network latency
    sizes = list(pool.map(size, items))
  missing = [x.path for x, n in zip(items, sizes, strict=True) if n < 0]
  if missing:
    raise UserError(
      f"{len(missing):,} image files of {name} are missing:\n"
      f"{listed(missing)}\nUnpack the archives again, or correct the list that "
      "names them."
    )
  return sizes


def listed(lines: Sequence[Any]) -> str:
  """Returns the first `NAMED` lines, and the number of the others."""
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
  """Writes the good images of a shard, then the note that it is complete.

  Args:
    shard: Shard to write.
    images: Checked images of the shard.
    num_labels: N.
    folders: Folders to write to.

  Returns:
    The facts about the shard, as `done` will return them.

  Raises:
    OSError: The shard cannot be written.
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
  """Returns the facts about a shard if it is complete and still fits.

  A shard with bad images is written again: they may have been replaced.
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
  """Checks the images and writes the shards that are not complete yet.

  Args:
    name: Name of the data set.
    shards: All shards.
    num_labels: N.
    folders: Folders to write to.
    enough_bad: Number of bad images after which writing stops.

  Returns:
    The facts about each shard, by file name.

  Raises:
    OSError: A shard cannot be written.
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
  """Yields shards in order; the next one is checked while one is written."""
  waiting: collections.deque[Any] = collections.deque()
  for shard in shards:
    check = image_check.check
    pending = [pool.submit(check, item.path) for item in shard.items]
    waiting.append((shard, pending))
    if len(waiting) > 1:
      yield waiting.popleft()
  yield from waiting


class Skipped(NamedTuple):
  """An image that is left out, and the reason."""

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
  """Returns the images of a split's records, in the same order."""
  found: list[Item] = []
  for shard in shards:
    if shard.split == split:
      bad = {place for place, _ in known[shard.filename]["bad"]}
      found += [x for k, x in enumerate(shard.items) if k not in bad]
  return found
