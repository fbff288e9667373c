"""Converts official image files and their labels to a TFDS data set.

A module `data/builders/<name>.py` for official files has

  read_source(manual_dir, options) -> Source
  LAYOUT: the files it expects in manual_dir, for messages
  OPTIONS: its options with their defaults

and optionally

  a third parameter `cache` of `read_source`: a folder for results that take
    long to compute; it survives an interruption
  VERSION: the version of the converted data
  check_options(options): raises a UserError for a wrong option
  check_files(manual_dir, options): raises a UserError for missing files,
    without reading any
  content_key(manual_dir, options) -> str: identifies the content of manual_dir,
    for data sets whose content differs between users

The encoded bytes of the images are stored unchanged; an EXIF orientation is
applied where they are decoded. An interrupted conversion is resumed at the
first shard that is not complete.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from causal_mlr_jax.core import atomic_files, locks, lookup, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.data.convert import shards, tfds_files
from causal_mlr_jax.data.convert.shards import Folders, Shard, Skipped
from causal_mlr_jax.data.formats.raw_dataset import Source

# A conversion stops after this many bad images beyond the allowed number.
MORE_BAD = 20


@dataclasses.dataclass(frozen=True)
class ImageBuilder:
  """The builder that `data.dataset` uses for a module of official files.

  Attributes:
    name: Name of the module.
    module: The module; see above.
    directory: Folder of all prepared data sets.
    manual_dir: Folder of the official files, '' if not given.
    options: All options of the module.
    max_bad_images: Number of images that may be left out.
    variant: 'default', or a hash of the other options and of the content.
  """

  name: str
  module: ModuleType
  directory: pathlib.Path
  manual_dir: str
  options: Mapping[str, Any]
  max_bad_images: int
  variant: str

  @property
  def data_dir(self) -> str:
    """The folder of the prepared data."""
    return os.fspath(self.directory / self.name / self.variant / self.version)

  @property
  def version(self) -> str:
    """The version of the module."""
    return getattr(self.module, "VERSION", "1.0.0")

  @property
  def root(self) -> pathlib.Path:
    """The folder of the official files.

    Raises:
      UserError: It was not given, or is not a folder.
    """
    return _root(self.name, self.module, self.directory, self.manual_dir)

  def check_files(self) -> None:
    """Checks that the official files exist, without reading them.

    Raises:
      UserError: Files are missing, which it lists.
    """
    if hasattr(self.module, "check_files"):
      self.module.check_files(self.root, self.options)

  def download_and_prepare(self) -> None:
    """Converts the official files, or waits for a process that does.

    Raises:
      UserError: Files are missing or wrong, or too many images are bad.
      OSError: The data cannot be written.
    """
    final = pathlib.Path(self.data_dir)
    partial = final.with_name(f"{final.name}.partial")
    lock = final.with_name(f".{final.name}.lock")
    with locks.held(lock, f"prepares {self.name}"):
      if (final / "dataset_info.json").exists():
        return
      if final.exists():
        raise UserError(
          f"{final} exists but is not a prepared data set; delete it and run "
          "again."
        )
      self._convert(partial)
      # One rename, so that the final folder is always complete.
      (partial / "data").rename(final)
      shutil.rmtree(partial)

  def _convert(self, partial: pathlib.Path) -> None:
    folders = Folders(partial / "data", partial / "state")
    source = _read_source(self, partial / "cache")
    plan = shards.plan(self.name, source, self.root)
    origin = fingerprint(
      shards=[(shard.filename, shard.key) for shard in plan],
      labels=source.labels,
    )
    _forget_others(plan, origin, folders)
    enough = self.max_bad_images + MORE_BAD
    width = len(source.labels)
    known = shards.write_all(self.name, plan, width, folders, enough)
    skipped = shards.skipped(plan, known)
    _check_bad(skipped, plan, self.name, self.max_bad_images)
    for image in skipped:
      progress.say(f"data: left out {image.path}: {image.problem}")
    sizes = {}
    for split in source.splits:
      items = shards.kept(plan, known, split)
      tfds_files.write_labels(folders.data, split, items)
      own = [known[s.filename] for s in plan if s.split == split]
      sizes[split] = [(k["records"], k["record_bytes"]) for k in own]
    metadata = {
      **source.metadata,
      "labels": source.labels,
      "biased_pairs": source.biased_pairs,
      "options": self.options,
      "source_fingerprint": origin,
      "order_seed": shards.ORDER_SEED,
      "skipped": [
        # The absolute path is not a property of the data.
        image._replace(path=os.path.relpath(image.path, self.root))._asdict()
        for image in skipped
      ],
    }
    tfds_files.write_metadata(
      folders.data,
      {"name": self.name, "version": self.version, "config_name": self.variant},
      {
        "description": source.description,
        "citation": source.citation,
        "homepage": source.homepage,
      },
      sizes,
      metadata,
    )


def make(
  name: str,
  module: ModuleType,
  directory: pathlib.Path,
  manual_dir: str,
  options: Mapping[str, Any],
  max_bad_images: int,
) -> ImageBuilder:
  """Checks the options and returns the builder of a module.

  Raises:
    UserError: An option is unknown or wrong.
  """
  options = checked_options(name, module, options)
  other = {k: v for k, v in options.items() if v != module.OPTIONS[k]}
  variant = fingerprint(**other)[:8] if other else "default"
  if hasattr(module, "content_key"):
    root = _root(name, module, directory, manual_dir)
    key = module.content_key(root, options)
    variant += "-" + fingerprint(content=key)[:8]
  return ImageBuilder(
    name, module, directory, manual_dir, options, max_bad_images, variant
  )


def checked_options(
  name: str, module: ModuleType, options: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns all options of a module, with defaults for those not given.

  Args:
    name: Name of the module.
    module: Module with `OPTIONS`.
    options: Options that were given.

  Raises:
    UserError: An option is unknown or has the wrong type.
  """
  found = dict(module.OPTIONS)
  for key, value in options.items():
    if key not in found:
      raise lookup.unknown_name(f"option of {name}", key, found)
    kind = type(found[key])
    if (kind, type(value)) in ((tuple, list), (float, int)):
      value = kind(value)
    if type(value) is not kind:
      raise UserError(
        f"data.options.{key} of {name} is {value!r}: expected a value of type "
        f"{kind.__name__}, such as {found[key]!r}."
      )
    found[key] = value
  if hasattr(module, "check_options"):
    module.check_options(found)
  return found


def _root(
  name: str, module: ModuleType, directory: pathlib.Path, manual_dir: str
) -> pathlib.Path:
  path = pathlib.Path(manual_dir).expanduser()
  if manual_dir and path.is_dir():
    return path
  wrong = f"is not a folder: {manual_dir}" if manual_dir else "is not set"
  prepared = (directory / name).glob("*/*/dataset_info.json")
  others = sorted(file.parent.parent.name for file in prepared)
  official = hasattr(module, "HOMEPAGE")
  known = f" (variants found there: {', '.join(others)})" if others else ""
  raise UserError(
    f"The data set {name!r} is not prepared in {directory / name} with these "
    f"options{known}, and --config.data.manual_dir {wrong}. Set it to the "
    "folder that holds the official files, or set --config.data.dir to the "
    f"folder that holds the prepared data set. Expected in manual_dir:\n"
    f"{module.LAYOUT.rstrip()}"
    + (f"\nGet the files from {module.HOMEPAGE}." if official else "")
  )


def _read_source(builder: ImageBuilder, cache: pathlib.Path) -> Source:
  read = builder.module.read_source
  if "cache" in inspect.signature(read).parameters:
    return read(builder.root, builder.options, cache=cache)
  return read(builder.root, builder.options)


def _forget_others(
  plan: Sequence[Shard], origin: str, folders: Folders
) -> None:
  """Removes shards that an interrupted conversion of other images left."""
  folders.data.mkdir(parents=True, exist_ok=True)
  note = folders.state / "source.json"
  if note.exists() and atomic_files.read_json(note) != origin:
    fit = sum(shards.done(shard, folders) is not None for shard in plan)
    progress.say(
      "data: the source has changed since its conversion was interrupted: "
      f"{fit} of {len(plan)} shards still fit, the others are written again"
    )
  atomic_files.write_json(note, origin)
  names = {shard.filename for shard in plan}
  for file in folders.data.iterdir():
    if file.name not in names:
      file.unlink()


def _check_bad(
  skipped: Sequence[Skipped], plan: Sequence[Shard], name: str, allowed: int
) -> None:
  total = sum(len(shard.items) for shard in plan)
  if len(skipped) > allowed:
    stopped = len(skipped) >= allowed + MORE_BAD
    lines = [f"{image.path}: {image.problem}" for image in skipped]
    raise UserError(
      f"{'At least ' * stopped}{len(skipped):,} of the {total:,} images of "
      f"{name} cannot be used, and --config.data.max_bad_images is {allowed}:\n"
      f"{shards.listed(lines)}\n"
      "Replace them with intact files and run again, or allow that many to be "
      "left out; shards that are already converted are kept."
    )
  for split in {shard.split for shard in plan}:
    size = sum(len(shard.items) for shard in plan if shard.split == split)
    if sum(image.split == split for image in skipped) == size:
      raise UserError(
        f"None of the {size:,} images of the split {split!r} of {name} can be "
        f"used: {skipped[0].path}: {skipped[0].problem}."
      )
