"""Your own data: a folder of images and files with their labels.

The labels can be in any of these formats. Paths are relative to the folder, or
to the folder that the option `images` names.

  a CSV file with the columns path,labels: 'a.jpg,cat;dog'; an empty cell means
    an image without labels
  a CSV file with a column path and a column of 0 and 1 for each label
  a JSON file in COCO's format: images, annotations, categories
  a JSON file in mmpretrain's format: {"metainfo": {"classes": [..]},
    "data_list": [{"img_path": "a.jpg", "gt_label": [..]}]}, where gt_label
    holds indices of classes, or (in all images) 0 or 1 for each class
  metadata.jsonl: lines {"file_name": "a.jpg", "labels": ["cat"]}, with paths
    relative to the file's own folder

The splits can be given by a CSV column `split` (train, validation or val,
test), by files such as train.json, val.json, test.json, or by folders train,
validation, test with a metadata.jsonl in each. If they are not given, images
are drawn for validation and test so that each label keeps its proportion.

Labels are in the order in which the file lists them (columns, categories,
classes), else sorted.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core import lookup, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.convert import stratified_split
from causal_mlr_jax.data.formats import folder_labels, reading
from causal_mlr_jax.data.formats.folder_json import Entry
from causal_mlr_jax.data.formats.raw_dataset import Source
from causal_mlr_jax.data.formats.reading import SPLITS, Problems

LAYOUT = """\
  labels.csv (any name)             path,labels[,split] or path,<label>,...
  labels.json (any name)            of COCO or of mmpretrain
  train.json, val.json, test.json   the same; also as .csv
  train/metadata.jsonl, validation/metadata.jsonl, test/metadata.jsonl
  and the images they name"""
LICENCE = "A user's own images and labels; their licence is not known here."
OPTIONS: dict[str, Any] = {
  # A file in the folder, or 'train=FILE,validation=FILE,test=FILE'; '' searches
  # for the files.
  "annotations": "",
  "images": "",  # subfolder that the paths in CSV and JSON are relative to
  "validation": 0.15,  # fraction of the images, if no file gives the splits
  "test": 0.15,
  "seed": 0,  # of the random splits
  "allow_unseen_labels": False,  # labels that no training image has
  "biased_pairs": (),  # such as ("bicycle<-person",): a label and its context
}


def check_options(options: Mapping[str, Any]) -> None:
  """Raises a UserError if an option has an invalid value."""
  validation, test = options["validation"], options["test"]
  if not (validation > 0 and test > 0 and validation + test < 1):
    raise UserError(
      f"data.options.validation is {validation} and data.options.test is "
      f"{test}: expected fractions of the images, more than 0 and together "
      "less than 1."
    )
  if options["images"]:
    try:
      reading.relative_path(options["images"])
    except ValueError as error:
      raise UserError(f"data.options.images: {error}.") from None


def content_key(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> str:
  """Returns a SHA-256 digest of the annotation files and their names.

  Raises:
    UserError: See `folder_labels.find`.
  """
  digest = hashlib.sha256()
  files = folder_labels.find(manual_dir, options["annotations"], LAYOUT)
  for split, file in sorted(files.items()):
    content = hashlib.sha256(reading.read_bytes(file)).hexdigest()
    name = file.relative_to(manual_dir).as_posix()
    digest.update(f"{split}\n{name}\n{content}\n".encode())
  return digest.hexdigest()


def read_source(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> Source:
  """Reads the annotation files without opening images.

  Args:
    manual_dir: Folder of the data set.
    options: See `OPTIONS`.

  Raises:
    UserError: There is no annotation file or more than one choice; the files
      have errors, which it lists together; image files are missing; or no
      training image has one of the labels.
  """
  chosen = {**OPTIONS, **options}
  files = folder_labels.find(manual_dir, chosen["annotations"], LAYOUT)
  names = [f.relative_to(manual_dir).as_posix() for f in files.values()]
  progress.say(f"folder: reading {', '.join(names)} in {manual_dir}")
  problems = Problems()
  entries, classes = folder_labels.read(
    manual_dir, files, chosen["images"].rstrip("/"), problems
  )
  _check_images(manual_dir, entries, problems)
  labels = classes or tuple(sorted({x for e in entries for x in e.labels}))
  _check_names(labels, problems)
  problems.raise_if_any(
    f"{manual_dir}, {', '.join(names)}", "Correct the file and run again."
  )
  labels_MN = _matrix(entries, labels)
  splits = _splits(entries, labels_MN, chosen)
  _check_splits(splits, labels_MN, labels, chosen["allow_unseen_labels"])
  paths = [entry.path for entry in entries]
  return Source(
    labels=labels,
    biased_pairs=_pairs(chosen["biased_pairs"], labels),
    splits={
      split: reading.take(manual_dir, paths, labels_MN, splits[split])
      for split in SPLITS
    },
    description=f"Images of a folder, labelled by {', '.join(names)}.",
    metadata={
      "annotations": names,
      "splits": "of the file" if entries[0].split else "drawn",
      "without_label": {
        split: int((~labels_MN[rows].any(1)).sum())
        for split, rows in splits.items()
      },
    },
  )


def _check_images(
  manual_dir: pathlib.Path, entries: Sequence[Entry], problems: Problems
) -> None:
  seen: dict[str, Entry] = {}
  if not entries:
    problems.add("no images are listed")
  for entry in entries:
    # Some file systems cannot hold two names that differ only in case.
    first = seen.setdefault(entry.path.casefold(), entry)
    if first is not entry:
      same = "the image" if first.path == entry.path else first.path
      problems.add(
        f"{entry.where}: {entry.path} is a duplicate of {same} in {first.where}"
      )
    elif not (manual_dir / entry.path).is_file():
      problems.add(f"{entry.where}: no file {entry.path}")


def _check_names(labels: Sequence[str], problems: Problems) -> None:
  seen: dict[str, str] = {}
  if len(labels) < 2:
    problems.add(
      f"{len(labels)} label(s) {list(labels)}: expected 2 or more; labels in "
      "one cell are separated by ';'"
    )
  for label in labels:
    if not label.isprintable():
      problems.add(f"label {label!r}: not printable")
    first = seen.setdefault(label.casefold(), label)
    if first != label:
      problems.add(f"labels {first!r} and {label!r} differ only in case")


def _matrix(entries: Sequence[Entry], labels: Sequence[str]) -> np.ndarray:
  index = {label: i for i, label in enumerate(labels)}
  labels_MN = np.zeros((len(entries), len(labels)), np.uint8)
  for i, entry in enumerate(entries):
    labels_MN[i, [index[label] for label in entry.labels]] = 1
  return labels_MN


def _splits(
  entries: Sequence[Entry], labels_MN: np.ndarray, chosen: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Returns the rows of each split, in the order of the file."""
  if any(entry.split for entry in entries):
    own = np.array([entry.split for entry in entries])
    return {split: np.flatnonzero(own == split) for split in SPLITS}
  # Sorted by name, so that the order of the file's lines does not matter.
  order = sorted(range(len(entries)), key=lambda i: entries[i].path)
  validation, test = chosen["validation"], chosen["test"]
  parts = (1 - validation - test, validation, test)
  assigned = np.empty(len(entries), np.int64)
  assigned[order] = stratified_split.assign(
    labels_MN[order], parts, chosen["seed"]
  )
  return {
    split: np.flatnonzero(assigned == i) for i, split in enumerate(SPLITS)
  }


def _check_splits(
  splits: Mapping[str, np.ndarray],
  labels_MN: np.ndarray,
  labels: Sequence[str],
  allow_unseen: bool,
) -> None:
  sizes = ", ".join(f"{split} {len(rows)}" for split, rows in splits.items())
  empty = [split for split, rows in splits.items() if not len(rows)]
  if empty:
    raise UserError(
      f"No image in {' and '.join(empty)} ({sizes}): expected images in each "
      "split. Give the split of every image, or of none to draw them at random."
    )
  progress.say(
    f"folder: {len(labels)} labels; images: {sizes}; "
    f"{(~labels_MN.any(1)).sum()} without any label"
  )
  trained_N = labels_MN[splits["train"]].sum(0)
  unseen = [
    f"{label} ({split})"
    for split, rows in splits.items()
    for i, label in enumerate(labels)
    if labels_MN[rows, i].any() and not trained_N[i]
  ]
  if unseen and not allow_unseen:
    shown = reading.NAMED
    more = f" and {len(unseen) - shown} more" if len(unseen) > shown else ""
    raise UserError(
      f"No training image has the label {', '.join(unseen[:shown])}{more}, so "
      "it cannot be learned. Move images to the split train, or set "
      "--config.data.options.allow_unseen_labels=True."
    )
  never = [
    x for x, images in zip(labels, labels_MN.sum(0), strict=True) if not images
  ]
  if never:
    progress.say(f"folder: no image has the label {', '.join(never)}")


def _pairs(
  given: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[str, str], ...]:
  pairs = []
  for text in given:
    pair = tuple(part.strip() for part in text.split("<-"))
    for label in pair:
      lookup.check_name("label in biased_pairs", label, labels)
    if len(pair) != 2 or pair[0] == pair[1] or pair in pairs:
      raise UserError(
        f"data.options.biased_pairs has {text!r}: expected 'LABEL<-CONTEXT' "
        "with two different labels, each pair once."
      )
    pairs.append(pair)
  return tuple(pairs)
