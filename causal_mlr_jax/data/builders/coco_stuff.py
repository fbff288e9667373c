"""COCO-Stuff: 171 labels of things and stuff on the images of COCO 2014.

This is the data set of the paper's main table, as built by Singh et al. ("Don't
Judge an Object by Its Context", CVPR 2020), with the images and splits of COCO
2014: `train`, and `test`, which is the official validation set. The labels of
an image are the values in its pixel map of COCO-Stuff 2017, which is looked up
by the image's number in both folders of maps. A small thing that is hidden in
the map is therefore absent, even if COCO annotates it as an object.

Value v of a map means line v + 1 of labels.txt; 255 means unlabelled. 11 names
in labels.txt occur in no map and are not labels. Labels 0 to 79 are things, the
labels of COCO in the same order; 80 to 170 are stuff. The numbers of images are
checked against the official ones, 82,783 and 40,504.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.data.builders import coco
from causal_mlr_jax.data.formats import pixel_maps, reading
from causal_mlr_jax.data.formats.raw_dataset import Item, Source
from causal_mlr_jax.data.formats.reading import Problems

HOMEPAGE = (
  "https://cocodataset.org/#download and github.com/nightrome/cocostuff"
)
LAYOUT = """\
  train2014/COCO_train2014_*.jpg      of train2014.zip
  val2014/COCO_val2014_*.jpg          of val2014.zip
  stuffthingmaps/train2017/*.png      of stuffthingmaps_trainval2017.zip
  stuffthingmaps/val2017/*.png        of the same
  labels.txt                          of github.com/nightrome/cocostuff"""
OPTIONS: dict[str, Any] = {
  "official_counts": True,  # False accepts a part of the data set
}
MAPS = ("stuffthingmaps/train2017", "stuffthingmaps/val2017")
UNLABELLED = 255
Images = Mapping[str, pathlib.Path]  # by the image's number of 12 digits
# Things in labels.txt (numbers 1 to 91) that occur in no map.
WITHOUT_MAP = {
  12: "street sign",
  26: "hat",
  29: "shoe",
  30: "eye glasses",
  45: "plate",
  66: "mirror",
  68: "window",
  69: "desk",
  71: "door",
  83: "blender",
  91: "hair brush",
}
_STUFF = """
  banner, blanket, branch, bridge, building-other, bush, cabinet, cage,
  cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds,
  counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,
  floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
  food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house,
  leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net,
  paper, pavement, pillow, plant-other, plastic, platform, playingfield,
  railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf,
  sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
  structural-other, table, tent, textile-other, towel, tree, vegetable,
  wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile,
  wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
STUFF = tuple(name.strip() for name in _STUFF.split(","))
NAMES = {
  0: "unlabeled",
  **dict(sorted({**coco.CATEGORIES, **WITHOUT_MAP}.items())),
  **dict(enumerate(STUFF, 92)),
}
LABELS = (*coco.LABELS, *STUFF)
# The 20 pairs published by Singh et al.: the biased label b and its context c.
PAIRS = (
  ("cup", "dining table"),
  ("wine glass", "person"),
  ("handbag", "person"),
  ("apple", "fruit"),
  ("car", "road"),
  ("bus", "road"),
  ("potted plant", "vase"),
  ("spoon", "bowl"),
  ("microwave", "oven"),
  ("keyboard", "mouse"),
  ("skis", "person"),
  ("clock", "building-other"),
  ("sports ball", "person"),
  ("remote", "person"),
  ("snowboard", "person"),
  ("toaster", "ceiling-other"),
  ("hair drier", "towel"),
  ("tennis racket", "person"),
  ("skateboard", "person"),
  ("baseball glove", "person"),
)
LICENCE = """\
The annotations are licensed
CC-BY 4.0; the images are under the terms of use of Flickr."""
DESCRIPTION = f"""
COCO-Stuff: the images of COCO 2014 with labels of 80 kinds of things and 91 of
stuff, from the pixel maps of COCO-Stuff 2017. {LICENCE}
"""
CITATION = """
@inproceedings{caesar2018cocostuff,
  title = {{COCO-Stuff}: Thing and Stuff Classes in Context},
  author = {Caesar, Holger and Uijlings, Jasper and Ferrari, Vittorio},
  booktitle = {CVPR}, year = {2018}
}
@inproceedings{singh2020context,
  title = {Don't Judge an Object by Its Context: Learning to Overcome Contextual
    Bias},
  author = {Singh, Krishna Kumar and Mahajan, Dhruv and Grauman, Kristen and
    Lee, Yong Jae and Feiszli, Matt and Ghadiyaram, Deepti},
  booktitle = {CVPR}, year = {2020}
}
"""


def check_files(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> None:
  """Raises a UserError that lists missing files."""
  del options  # all options need the same files
  others = (*MAPS, "labels.txt")
  coco.need("coco_stuff", manual_dir, LAYOUT, HOMEPAGE, others=others)


def read_source(
  manual_dir: pathlib.Path,
  options: Mapping[str, Any],
  cache: pathlib.Path | None = None,
) -> Source:
  """Reads the official files, including all maps, without opening images.

  Args:
    manual_dir: Folder with the files of `LAYOUT`.
    options: See `OPTIONS`.
    cache: Folder for what was read from the maps.

  Raises:
    UserError: Files are missing, or are not the official ones.
  """
  chosen = {**OPTIONS, **options}
  check_files(manual_dir, options)
  check_names(manual_dir / "labels.txt")
  images = _images(manual_dir, chosen["official_counts"])
  splits = _splits(manual_dir, images, cache)
  assert all(b in LABELS and c in LABELS for b, c in PAIRS)
  return Source(
    labels=LABELS,
    biased_pairs=PAIRS,
    splits=splits,
    description=DESCRIPTION,
    citation=CITATION + coco.CITATION,
    homepage=HOMEPAGE,
    metadata={"things": len(coco.LABELS), "stuff": len(STUFF)},
  )


def check_names(path: pathlib.Path) -> None:
  """Compares labels.txt with the official list.

  Args:
    path: Path of a file with lines such as '1: person'.

  Raises:
    UserError: The lists differ.
  """
  problems = Problems()
  found = {}
  for line in reading.read_lines(path):
    number, colon, name = line.partition(":")
    if colon and number.strip().isdecimal():
      found[int(number)] = name.strip()
    else:
      problems.add(f"the line {line!r} is not of the form '1: person'")
  for number in sorted(found.keys() | NAMES.keys()):
    got, wanted = found.get(number, "absent"), NAMES.get(number, "absent")
    if got != wanted:
      problems.add(f"{number} is {got!r}, officially {wanted!r}")
  problems.raise_if_any(
    f"{path} is not the official list",
    "Take labels.txt from https://github.com/nightrome/cocostuff.",
  )


def _images(manual_dir: pathlib.Path, official: bool) -> dict[str, Images]:
  problems = Problems()
  found = {}
  for split, (year, count) in coco.SPLITS.items():
    found[split] = _images_in(manual_dir / year)
    if official:
      coco.check_count(split, len(found[split]), count, problems)
  problems.raise_if_any(f"COCO-Stuff in {manual_dir}", coco.REMEDY)
  return found


def _splits(
  manual_dir: pathlib.Path,
  images: Mapping[str, Images],
  cache: pathlib.Path | None,
) -> dict[str, list[Item]]:
  maps = _maps(manual_dir)
  problems = Problems()
  for split, numbered in images.items():
    for number, path in numbered.items():
      if number not in maps:
        problems.add(f"{path.name} of {split} has no map {number}.png")
  problems.raise_if_any(f"COCO-Stuff in {manual_dir}", coco.REMEDY)
  splits = {}
  for split, numbered in images.items():
    paths = [maps[number] for number in numbered]
    title, folder = f"reading the maps of {split}", cache and cache / split
    values = pixel_maps.present(paths, title, folder, problems)
    labels_MN = _labels(values, paths, problems)
    splits[split] = [
      Item(path, labels_N, str(int(number)))
      for (number, path), labels_N in zip(
        numbered.items(), labels_MN, strict=True
      )
    ]
  problems.raise_if_any(f"COCO-Stuff in {manual_dir}", coco.REMEDY)
  return splits


def _images_in(folder: pathlib.Path) -> Images:
  form = re.compile(rf"COCO_{folder.name}_(\d{{12}})\.jpg")
  found = (form.fullmatch(path.name) for path in folder.iterdir())
  matches = sorted((m[1], m.string) for m in found if m)
  return {number: folder / name for number, name in matches}


def _maps(manual_dir: pathlib.Path) -> dict[str, pathlib.Path]:
  return {
    path.stem: path
    # For an image with two maps, the one in the training folder is used.
    for folder in reversed(MAPS)
    for path in (manual_dir / folder).iterdir()
    if path.suffix == ".png"
  }


def _labels(
  values: np.ndarray, paths: Sequence[pathlib.Path], problems: Problems
) -> np.ndarray:
  """Turns the values of maps [M, 256] into labels, uint8 [M, N]."""
  numbers = [n for n in NAMES if n and n not in WITHOUT_MAP]
  known = [n - 1 for n in NAMES if n] + [UNLABELLED]
  others = np.setdiff1d(np.arange(pixel_maps.VALUES), known)
  for row in np.flatnonzero(values[:, others].any(1)).tolist():
    got = others[values[row, others]].tolist()
    problems.add(f"{paths[row]} holds {got}, expected 0 to 181 and 255")
  return values[:, np.asarray(numbers) - 1].astype(np.uint8)
