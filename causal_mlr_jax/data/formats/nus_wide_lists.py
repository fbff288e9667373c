"""Reads the two formats of NUS-WIDE; see `builders/nus_wide.py`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.data.formats import csv_files, reading
from causal_mlr_jax.data.formats.reading import Problems

# Corrected values of wrong lines, by file, line number and content. Public
# notes mention this line of the official files. Its true value is not known; 0
# is more probable.
ERRATA = {("Labels_lake_Train.txt", 78_372, b"-1130179"): 0}
COLUMNS = {
  "filepath": "path",
  "filename": "path",
  "label": "labels",
  "labels": "labels",
  "split_name": "split",
  "split": "split",
}
PARTS = {"train": "Train", "test": "Test"}
# Number of images that are looked up to find their folder.
TRIED = 100

# Paths and labels by split, the folder of the paths, and notes.
Table = tuple[
  Mapping[str, tuple[list[str], np.ndarray]], pathlib.Path, tuple[str, ...]
]


class Lists(NamedTuple):
  """The official files.

  Attributes:
    images: File with the list of images of each split, `train` and `test`.
    labels: For each split, or for `all` images together, one file per concept.
    all_images: File with the list of `all` images, if `labels` has these.
    root: Folder of the images.
  """

  images: Mapping[str, pathlib.Path]
  labels: Mapping[str, list[pathlib.Path]]
  all_images: pathlib.Path | None
  root: pathlib.Path


def read_concepts(
  path: pathlib.Path, official: Sequence[str]
) -> tuple[str, ...]:
  """Returns the names in `Concepts81.txt`, in the order of the file.

  Raises:
    UserError: They are not the official names.
  """
  names = [line.strip() for line in reading.read_lines(path)]
  problems = Problems()
  for name in sorted(set(names) - set(official)):
    problems.add(f"{name!r} is not one of the {len(official)} concepts")
  for name in sorted(set(official) - set(names)):
    problems.add(f"{name!r} is missing")
  if len(set(names)) < len(names):
    problems.add("a name appears twice")
  problems.raise_if_any(str(path), "Get the official file again.")
  return tuple(names)


def find(
  manual_dir: pathlib.Path, concepts: Sequence[str]
) -> tuple[Lists, list[str]]:
  """Returns the official files, and the names of those that are missing."""
  absent: list[str] = []

  def look(*candidates: str) -> pathlib.Path:
    found = reading.locate(manual_dir, *candidates)
    if found is None:
      absent.append(candidates[0])
    return found or manual_dir

  images = {s: look(f"ImageList/{p}Imagelist.txt") for s, p in PARTS.items()}
  # The folder is located only once: 162 searches of a large folder are slow.
  halves = reading.locate(
    manual_dir, "Groundtruth/TrainTestLabels", "TrainTestLabels"
  )
  whole = reading.locate(manual_dir, "Groundtruth/AllLabels", "AllLabels")
  all_images = None
  if halves is None and whole is not None:
    all_images = look("ImageList/Imagelist.txt")
    labels = {"all": [whole / f"Labels_{name}.txt" for name in concepts]}
  else:
    folder = halves or manual_dir / "Groundtruth" / "TrainTestLabels"
    labels = {
      split: [folder / f"Labels_{name}_{part}.txt" for name in concepts]
      for split, part in PARTS.items()
    }
  root = look("Flickr", "images")
  if halves is None and whole is None:
    absent.append("Groundtruth/TrainTestLabels/")
  else:
    absent += [
      f"{file.parent.name}/{file.name}"
      for files in labels.values()
      for file in files
      if not file.is_file()
    ]
  return Lists(images, labels, all_images, root), absent


def read_lists(files: Lists) -> Table:
  """Reads the official lists and labels.

  Raises:
    UserError: Lines are malformed, or the lengths of the files do not match.
  """
  problems, notes = Problems(), []
  paths = {s: _read_images(f, problems) for s, f in files.images.items()}
  every = _read_images(files.all_images, problems) if files.all_images else []
  problems.raise_if_any("NUS-WIDE's lists", "Get the official files again.")
  matrices = {}
  total = sum(map(len, files.labels.values()))
  with progress.bar("reading labels", total, "files") as bar:
    for part, names in files.labels.items():
      size = len(every if part == "all" else paths[part])
      columns = np.zeros((len(names), size), np.uint8)
      for i, file in enumerate(names):
        values = _read_values(file, problems, notes)
        if len(values) == size:
          columns[i] = values
        else:
          problems.add(
            f"{file.name}: {len(values)} lines, expected {size}, one for each "
            "image in the list"
          )
        bar.advance()
      matrices[part] = np.ascontiguousarray(columns.T)
  if files.all_images and every:
    place = {path: i for i, path in enumerate(every)}
    for split, listed in paths.items():
      rows = [place.get(path, -1) for path in listed]
      if -1 in rows:
        problems.add(
          f"{files.images[split].name}: {rows.count(-1)} images are not in "
          f"{files.all_images.name}, such as {listed[rows.index(-1)]}"
        )
      matrices[split] = matrices["all"][rows]
  problems.raise_if_any("NUS-WIDE's labels", "Get the official files again.")
  for note in notes:
    progress.say(f"nus_wide: {note}")
  splits = {s: (listed, matrices[s]) for s, listed in paths.items()}
  return splits, files.root, tuple(notes)


def _read_images(path: pathlib.Path, problems: Problems) -> list[str]:
  images: dict[str, int] = {}
  for number, line in enumerate(reading.read_lines(path), 1):
    try:
      image = reading.relative_path(line.strip())
    except ValueError as error:
      problems.add(f"{path.name}:{number}: {error}")
      continue
    if image in images:
      problems.add(
        f"{path.name}:{number}: {image} also appears in line {images[image]}"
      )
    images[image] = number
  if not images:
    problems.add(f"{path.name}: lists no images")
  return list(images)


def _read_values(
  path: pathlib.Path, problems: Problems, notes: list[str]
) -> np.ndarray:
  """Returns the values 0 and 1 of a file, one per line, uint8 [M]."""
  text = reading.read_bytes(path).replace(b"\r", b"").rstrip(b"\n") + b"\n"
  data = np.frombuffer(text, np.uint8)
  values = data[::2] - ord("0")
  if len(data) % 2 == 0 and (data[1::2] == 10).all() and (values < 2).all():
    return values
  # Something is wrong, so the file is parsed line by line.
  lines = [line.strip() for line in text.split(b"\n")[:-1]]
  result = np.zeros(len(lines), np.uint8)
  for number, line in enumerate(lines, 1):
    mended = ERRATA.get((path.name, number, line))
    got = line[:20].decode(errors="replace")
    if mended is not None:
      notes.append(f"{path.name}:{number}: {got} is taken for {mended}")
      result[number - 1] = mended
    elif line in (b"0", b"1"):
      result[number - 1] = line == b"1"
    else:
      problems.add(f"{path.name}:{number}: got {got!r}, expected 0 or 1")
  return result


def read_csv(path: pathlib.Path, concepts: Sequence[str]) -> Table:
  """Reads `nus_wid_data.csv`; the labels are the sorted `concepts`.

  Raises:
    UserError: Columns or rows are malformed.
  """
  problems = Problems()
  index = {name: i for i, name in enumerate(sorted(concepts))}
  splits = {split: ([], []) for split in PARTS}
  lines: dict[str, int] = {}
  for number, row in csv_files.read(path, COLUMNS, problems):
    split = {"train": "train", "val": "test"}.get(row["split"].strip())
    if split is None:
      problems.add(
        f"{path.name}:{number}: split {row['split']!r}, expected train or val"
      )
      continue
    try:
      image = reading.relative_path(row["path"].strip())
    except ValueError as error:
      problems.add(f"{path.name}:{number}: {error}")
      continue
    if image in lines:
      problems.add(
        f"{path.name}:{number}: {image} also appears in line {lines[image]}"
      )
    lines[image] = number
    splits[split][0].append(image)
    labels_N = np.zeros(len(index), np.uint8)
    for name in _names(row["labels"]):
      if name in index:
        labels_N[index[name]] = 1
      else:
        problems.add(
          f"{path.name}:{number}: {name!r} is not one of the {len(index)} "
          "concepts"
        )
    splits[split][1].append(labels_N)
  for split, (images, _) in splits.items():
    if not images:
      problems.add(f"{path.name}: no images in the split {split}")
  problems.raise_if_any(str(path), "Get the file again.")
  made = {s: (images, np.stack(rows)) for s, (images, rows) in splits.items()}
  return made, _image_root(path.parent, splits["train"][0]), ()


def _names(cell: str) -> list[str]:
  """Returns the names in a cell such as "['clouds', 'sky']"."""
  inner = cell.strip().removeprefix("[").removesuffix("]")
  return [part.strip(" '\"") for part in inner.split(",") if part.strip()]


def _image_root(folder: pathlib.Path, images: Sequence[str]) -> pathlib.Path:
  places = [folder, folder / "images", folder / "Flickr"]
  for root in places:
    if any((root / image).is_file() for image in images[:TRIED]):
      return root
  return folder
