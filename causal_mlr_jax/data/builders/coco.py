"""COCO 2014: 80 object labels, from the official instance annotations.

A label is present if an object is annotated, including crowds. The labels are
in the order of the category ids, which have gaps. The splits are `train` and
`test`; `test` is the official validation set, on which multi-label papers
report results. The numbers of images are checked against the official ones,
82,783 and 40,504.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.data.formats import coco_instances
from causal_mlr_jax.data.formats import reading as annotations
from causal_mlr_jax.data.formats.coco_instances import REMEDY
from causal_mlr_jax.data.formats.raw_dataset import Item, Source
from causal_mlr_jax.data.formats.reading import Problems

HOMEPAGE = "https://cocodataset.org/#download"
LAYOUT = """\
  train2014/COCO_train2014_*.jpg          of train2014.zip
  val2014/COCO_val2014_*.jpg              of val2014.zip
  annotations/instances_train2014.json    of annotations_trainval2014.zip
  annotations/instances_val2014.json      of the same"""
OPTIONS: dict[str, Any] = {
  "official_counts": True,  # False accepts a part of the data set
  # Images without any label, in both splits: keep | drop. ML-GCN, ADD-GCN and
  # TDRG report results without them, most other papers with them.
  "unlabelled": "keep",
}
# For each split, the name of its image folder and the number of images.
SPLITS = {"train": ("train2014", 82_783), "test": ("val2014", 40_504)}
_CATEGORIES = """
  1 person, 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8
  truck, 9 boat, 10 traffic light, 11 fire hydrant, 13 stop sign, 14 parking
  meter, 15 bench, 16 bird, 17 cat, 18 dog, 19 horse, 20 sheep, 21 cow, 22
  elephant, 23 bear, 24 zebra, 25 giraffe, 27 backpack, 28 umbrella, 31
  handbag, 32 tie, 33 suitcase, 34 frisbee, 35 skis, 36 snowboard, 37 sports
  ball, 38 kite, 39 baseball bat, 40 baseball glove, 41 skateboard, 42
  surfboard, 43 tennis racket, 44 bottle, 46 wine glass, 47 cup, 48 fork, 49
  knife, 50 spoon, 51 bowl, 52 banana, 53 apple, 54 sandwich, 55 orange, 56
  broccoli, 57 carrot, 58 hot dog, 59 pizza, 60 donut, 61 cake, 62 chair, 63
  couch, 64 potted plant, 65 bed, 67 dining table, 70 toilet, 72 tv, 73
  laptop, 74 mouse, 75 remote, 76 keyboard, 77 cell phone, 78 microwave, 79
  oven, 80 toaster, 81 sink, 82 refrigerator, 84 book, 85 clock, 86 vase, 87
  scissors, 88 teddy bear, 89 hair drier, 90 toothbrush
"""
CATEGORIES = {
  int(number): name
  for number, _, name in (
    " ".join(entry.split()).partition(" ") for entry in _CATEGORIES.split(",")
  )
}
LABELS = tuple(CATEGORIES.values())
LICENCE = """\
The annotations are licensed CC-BY
4.0; the images are under the terms of use of Flickr, each with its own licence
in the annotation files."""
DESCRIPTION = f"""
COCO 2014 (Common Objects in Context): photographs of everyday scenes from
Flickr with 80 kinds of objects outlined. {LICENCE}
"""
CITATION = """
@inproceedings{lin2014coco,
  title = {Microsoft {COCO}: Common Objects in Context},
  author = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays,
    James and Perona, Pietro and Ramanan, Deva and Doll{\\'a}r, Piotr and
    Zitnick, C. Lawrence},
  booktitle = {ECCV}, year = {2014}
}
"""


class _Split(NamedTuple):
  items: list[Item]
  unlabelled: int


def check_options(options: Mapping[str, Any]) -> None:
  """Raises a UserError if an option has an invalid value."""
  annotations.check_choice("coco", options, "unlabelled", ("keep", "drop"))


def check_files(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> None:
  """Raises a UserError that lists missing files."""
  del options  # all options need the same files
  need("coco", manual_dir, LAYOUT, HOMEPAGE, annotation_files=True)


def read_source(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> Source:
  """Reads the official files without opening images.

  Args:
    manual_dir: Folder with the files of `LAYOUT`.
    options: See `OPTIONS`.

  Raises:
    UserError: Files are missing, or are not the official ones.
  """
  chosen = {**OPTIONS, **options}
  check_files(manual_dir, options)
  problems = Problems()
  splits, unlabelled = {}, {}
  for split, (name, count) in SPLITS.items():
    keep = chosen["unlabelled"] == "keep"
    read = _read_split(manual_dir, name, keep, problems)
    splits[split], unlabelled[split] = read
    images = len(read.items) + (0 if keep else read.unlabelled)
    if chosen["official_counts"]:
      check_count(split, images, count, problems)
  problems.raise_if_any(f"COCO in {manual_dir}", REMEDY)
  return Source(
    labels=LABELS,
    biased_pairs=(),
    splits=splits,
    description=DESCRIPTION,
    citation=CITATION,
    homepage=HOMEPAGE,
    metadata={"unlabelled_images": unlabelled},
  )


def need(
  name: str,
  manual_dir: pathlib.Path,
  layout: str,
  homepage: str,
  annotation_files: bool = False,
  others: tuple[str, ...] = (),
) -> None:
  """Checks that the folders and files of a layout exist.

  Args:
    name: Name of the data set.
    manual_dir: Folder that should contain them.
    layout: Expected files, for the message.
    homepage: Where they can be downloaded, for the message.
    annotation_files: Whether the instance annotations are needed.
    others: Further required paths in `manual_dir`.

  Raises:
    UserError: Files are missing, which it lists.
  """
  wanted = [year for year, _ in SPLITS.values()]
  if annotation_files:
    wanted += [_annotations(year) for year, _ in SPLITS.values()]
  absent = [p for p in [*wanted, *others] if not (manual_dir / p).exists()]
  if absent:
    raise annotations.missing(name, manual_dir, absent, layout, homepage)


def check_count(
  split: str, images: int, official: int, problems: Problems
) -> None:
  """Adds a problem if the number of images is not the official one."""
  if images != official:
    problems.add(f"{split} has {images:,} images, officially {official:,}")


def _annotations(year: str) -> str:
  return f"annotations/instances_{year}.json"


def _read_split(
  manual_dir: pathlib.Path, year: str, keep: bool, problems: Problems
) -> _Split:
  names, objects = coco_instances.read(
    manual_dir / _annotations(year), CATEGORIES, problems
  )
  place = {image_id: i for i, image_id in enumerate(names)}
  column = {category: i for i, category in enumerate(CATEGORIES)}
  labels_MN = np.zeros((len(names), len(LABELS)), np.uint8)
  for image_id, category in objects:
    if image_id in place and category in column:
      labels_MN[place[image_id], column[category]] = 1
    else:
      problems.add(
        f"{_annotations(year)}: an object in image {image_id} of category "
        f"{category}: the file does not list this image or this category"
      )
  files = set(os.listdir(manual_dir / year))
  for name in names.values():
    if name not in files:
      problems.add(f"{year}/{name} is missing")
  empty_M = labels_MN.sum(1) == 0
  items = [
    Item(manual_dir / year / name, labels_N, str(image_id))
    for (image_id, name), labels_N, empty in zip(
      names.items(), labels_MN, empty_M, strict=True
    )
    if keep or not empty
  ]
  return _Split(items, int(empty_M.sum()))
