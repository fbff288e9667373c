"""DeepFashion: attributes of the Category and Attribute Prediction Benchmark.

The labels are the 250 most frequent attributes of the training images, in the
order of the official list. The 20 biased pairs are those of Singh et al.,
"Don't Judge an Object by Its Context", CVPR 2020. As in their program, 1 means
that the label is present, and both -1 and 0 (unknown) mean that it is absent.
Of two equally frequent attributes, the first is assumed to rank higher.

The official numbers of images are from general knowledge, not from the files,
so other numbers are only reported. `official_counts` 'strict' makes them an
error; 'skip' reports nothing.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import (
  deepfashion_attributes,
  reading,
)
from causal_mlr_jax.data.formats.raw_dataset import Source
from causal_mlr_jax.data.formats.reading import Problems

HOMEPAGE = (
  "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/AttributePrediction.html"
)
LAYOUT = """\
  Anno_coarse/list_attr_cloth.txt    or in Anno/, or beside img/
  Anno_coarse/list_attr_img.txt      in the same folder as the former
  Eval/list_eval_partition.txt       or in Anno/, or beside img/
  img/                               or Img/img/"""
OPTIONS: dict[str, Any] = {
  "official_counts": "say",  # strict | skip
  "num_attributes": 250,  # number of labels: the most frequent attributes
  "published_pairs": True,  # False: no biased pairs
}
OFFICIAL = {
  "attributes": 1000,
  "train": 209_222,
  "validation": 40_000,
  "test": 40_000,
}
# The label b, its context c, and their indices among the 250 labels in the
# pickles of the program published by Singh et al.
PAIRS = (
  ("bell", "lace", 19, 112),
  ("cut", "bodycon", 59, 22),
  ("animal", "print", 5, 166),
  ("flare", "fit", 87, 85),
  ("embroidery", "crochet", 77, 54),
  ("suede", "fringe", 216, 94),
  ("jacquard", "flare", 109, 87),
  ("trapeze", "striped", 227, 213),
  ("neckline", "sweetheart", 140, 220),
  ("retro", "chiffon", 174, 38),
  ("sweet", "crochet", 219, 54),
  ("batwing", "loose", 16, 126),
  ("tassel", "chiffon", 223, 38),
  ("boyfriend", "distressed", 26, 67),
  ("light", "skinny", 120, 197),
  ("ankle", "skinny", 6, 197),
  ("french", "terry", 92, 224),
  ("dark", "wash", 63, 240),
  ("medium", "wash", 130, 240),
  ("studded", "denim", 215, 64),
)
LICENCE = """\
For
non-commercial research, on the terms of the Chinese University of Hong Kong
that are given with the files; the images belong to their owners."""
DESCRIPTION = f"""
DeepFashion, Category and Attribute Prediction Benchmark: clothes in photographs
of shops and consumers, with attributes mined from their descriptions. {LICENCE}
"""
CITATION = """
@inproceedings{liu2016deepfashion,
  title = {{DeepFashion}: Powering Robust Clothes Recognition and Retrieval with
    Rich Annotations},
  author = {Liu, Ziwei and Luo, Ping and Qiu, Shi and Wang, Xiaogang and
    Tang, Xiaoou},
  booktitle = {CVPR}, year = {2016}
}
"""


class _Files(NamedTuple):
  names: pathlib.Path
  attributes: pathlib.Path
  partition: pathlib.Path
  images: pathlib.Path


def check_options(options: Mapping[str, Any]) -> None:
  """Raises a UserError if an option has an invalid value."""
  how = ("say", "strict", "skip")
  reading.check_choice("deepfashion", options, "official_counts", how)


def check_files(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> None:
  """Raises a UserError that lists missing files."""
  del options  # all options need the same files
  _find(manual_dir)


def read_source(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> Source:
  """Reads the official files without opening images.

  Args:
    manual_dir: Folder with the files of `LAYOUT`.
    options: See `OPTIONS`.

  Raises:
    UserError: Files are missing, damaged or contradict each other, or the
      published pairs are not among the labels.
  """
  chosen = {**OPTIONS, **options}
  files = _find(manual_dir)
  progress.say(f"deepfashion: reading {files.names.parent}")
  names = _names(files.names)
  if not 1 < chosen["num_attributes"] <= len(names):
    raise UserError(
      f"data.options.num_attributes is {chosen['num_attributes']}: expected 2 "
      f"to {len(names)}, the number of attributes in {files.names}. Anno_fine, "
      "with 26, is another benchmark: use the files of Anno_coarse."
    )
  split_of = _partition(files.partition)
  table = deepfashion_attributes.read(files.attributes, len(names))
  rows = _join(files, split_of, table.paths)
  sizes = {s: len(rows[s]) for s in rows} | {"attributes": len(names)}
  _check_counts(sizes, chosen["official_counts"])
  counts_N = table.counts(rows["train"])
  # A stable sort puts the first of two equally frequent attributes first.
  order = np.argsort(-counts_N, kind="stable")
  kept = np.sort(order[: chosen["num_attributes"]])
  labels = tuple(names[i] for i in kept)
  labels_MN = table.columns(kept)
  return Source(
    labels=labels,
    biased_pairs=_pairs(labels) if chosen["published_pairs"] else (),
    splits={
      split: reading.take(files.images, table.paths, labels_MN, rows[split])
      for split in reading.SPLITS
    },
    description=DESCRIPTION,
    citation=CITATION,
    homepage=HOMEPAGE,
    metadata={
      "attribute_indices": kept.tolist(),
      "train_images_per_attribute": counts_N[kept].tolist(),
    },
  )


def _find(manual_dir: pathlib.Path) -> _Files:
  table, listed = "list_attr_img.txt", "list_attr_cloth.txt"
  places = [
    (reading.locate(manual_dir, start + listed), start)
    for start in ("Anno_coarse/", "Anno/", "")
  ]
  found = [
    (names, attributes)
    for names, start in places
    if names and (attributes := reading.locate(manual_dir, start + table))
  ]
  partition = reading.locate(
    manual_dir,
    *(f"{start}list_eval_partition.txt" for start in ("Eval/", "Anno/", "")),
  )
  # Paths in the files begin with img/. On a case-insensitive file system, img
  # may also match the enclosing Img.
  images = next(
    (p for p in (manual_dir / "Img", manual_dir) if (p / "img").is_dir()), None
  )
  if not found or not partition or not images:
    absent = [] if found else [f"Anno_coarse/{listed} with {table} beside it"]
    absent += [] if partition else ["Eval/list_eval_partition.txt"]
    absent += [] if images else ["img/"]
    raise reading.missing("deepfashion", manual_dir, absent, LAYOUT, HOMEPAGE)
  return _Files(*found[0], partition, images)


def _names(path: pathlib.Path) -> list[str]:
  problems, names = Problems(), []
  for number, line in enumerate(deepfashion_attributes.read_header(path), 3):
    name, _, kind = " ".join(line.split()).rpartition(" ")
    if not name or kind not in ("1", "2", "3", "4", "5"):
      problems.add(
        f"{path.name}:{number}: {line[:60]!r}, expected a name and a type of "
        "1 to 5"
      )
    names.append(name)
  for name in sorted({n for n in names if names.count(n) > 1}):
    problems.add(f"{path.name}: {name!r} appears more than once")
  problems.raise_if_any(str(path), "Get the official file again.")
  return names


def _partition(path: pathlib.Path) -> dict[str, str]:
  problems, split_of = Problems(), {}
  for number, line in enumerate(deepfashion_attributes.read_header(path), 3):
    cells = line.split()
    split = reading.SPLIT_NAMES.get(cells[1]) if len(cells) == 2 else None
    if split is None:
      problems.add(
        f"{path.name}:{number}: {line[:60]!r}, expected a path and train, val "
        "or test"
      )
      continue
    try:
      name = reading.relative_path(cells[0])
    except ValueError as error:
      problems.add(f"{path.name}:{number}: {error}")
      continue
    if name in split_of:
      problems.add(f"{path.name}:{number}: {name} appears twice")
    split_of[name] = split
  problems.raise_if_any(str(path), "Get the official file again.")
  return split_of


def _join(
  files: _Files, split_of: Mapping[str, str], paths: Sequence[str]
) -> dict[str, np.ndarray]:
  """Returns the rows of each split, in the order of the attribute file."""
  problems = Problems()
  rows: dict[str, list[int]] = {split: [] for split in reading.SPLITS}
  seen = set()
  for row, path in enumerate(paths):
    if path in seen:
      problems.add(f"{path} appears twice in {files.attributes.name}")
    elif path not in split_of:
      problems.add(f"{path} is not in {files.partition.name}")
    else:
      rows[split_of[path]].append(row)
    seen.add(path)
  for path in split_of:
    if path not in seen:
      problems.add(f"{path} is not in {files.attributes.name}")
  for split, found in rows.items():
    if not found:
      problems.add(f"no images in the split {split}")
  problems.raise_if_any(
    f"{files.attributes} and {files.partition}",
    "Both must be of the same release: get the official files again.",
  )
  return {split: np.array(found) for split, found in rows.items()}


def _check_counts(sizes: Mapping[str, int], how: str) -> None:
  off = [
    f"{sizes[key]} {key} (expected {OFFICIAL[key]})"
    for key in OFFICIAL
    if sizes[key] != OFFICIAL[key]
  ]
  if not off or how == "skip":
    return
  message = (
    f"deepfashion: the numbers are not the official ones: {', '.join(off)}; "
    "--config.data.options.official_counts=skip accepts a part of the data"
  )
  if how == "strict":
    raise UserError(message + ".")
  progress.say(message)


def _pairs(labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
  index = {label: i for i, label in enumerate(labels)}
  wanted = {name for pair in PAIRS for name in pair[:2]}
  absent = sorted(wanted - index.keys())
  if absent:
    raise UserError(
      f"The published pairs name attributes that are not among the "
      f"{len(labels)} labels: {', '.join(absent)}. If the data are not the "
      "official ones, set --config.data.options.published_pairs=False."
    )
  moved = [
    f"{name} {index[name]} (published {place})"
    for b, c, *places in PAIRS
    for name, place in zip((b, c), places, strict=True)
    if index[name] != place
  ]
  if moved and len(labels) == OPTIONS["num_attributes"]:
    progress.say(
      "deepfashion: some labels are not in their published places: "
      + ", ".join(dict.fromkeys(moved))
    )
  return tuple(pair[:2] for pair in PAIRS)
