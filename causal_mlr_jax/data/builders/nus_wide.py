"""NUS-WIDE: images of Flickr with 81 concepts.

Two forms are read. The official one has lists of images and a file of 0 and 1
for each concept. The other is one CSV file, that of the asymmetric loss's
authors (`nus_wid_data.csv`), which names 119,103 training and 50,720 validation
images, all with labels; its validation images are the split `test` here, since
results are reported on them. Neither has a split to choose a model on: take a
part of `train`. Its columns, by name, or else the first, second and third:

  filepath (or filename)    of the image, from the folder of the CSV, `images`
                            or `Flickr`
  label (or labels)         "['clouds', 'sky']"; "[]" or an empty cell: none
  split_name (or split)     train or val

The names of the columns, the list of concepts and the numbers of images are
from general knowledge and from what public programs read, not from the files.
A list of concepts on disk may have another order, which is then that of the
labels; its names must be the 81.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import annotation_files, nus_wide_lists
from causal_mlr_jax.data.formats.raw_dataset import Source

HOMEPAGE = (
  "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/"
  "NUS-WIDE.html"
)
CSV = "nus_wid_data.csv"
LAYOUT = f"""\
  {CSV}                  and the images it names, or else
  ConceptsList/Concepts81.txt
  ImageList/TrainImagelist.txt, TestImagelist.txt
  Groundtruth/TrainTestLabels/Labels_<concept>_Train.txt and _Test.txt
      or Groundtruth/AllLabels/Labels_<concept>.txt and ImageList/Imagelist.txt
  Flickr/                           or images/"""
OPTIONS: dict[str, Any] = {
  "layout": "auto",  # csv | official; auto: csv where there is one
  "official_counts": True,
  "unlabelled": "drop",  # keep: images without any label
  "missing": "error",  # drop: images whose file is not there
}
COUNTS = {
  "official": {"train": 161_789, "test": 107_859},
  "csv": {"train": 119_103, "test": 50_720},
}
_CONCEPTS = """
  airport animal beach bear birds boats book bridge buildings cars castle
  cat cityscape clouds computer coral cow dancing dog earthquake elk fire
  fish flags flowers food fox frost garden glacier grass harbor horses house
  lake leaf map military moon mountain nighttime ocean person plane plants
  police protest railroad rainbow reflection road rocks running sand sign
  sky snow soccer sports statue street sun sunset surf swimmers tattoo
  temple tiger tower town toy train tree valley vehicle water waterfall
  wedding whales window zebra
"""
CONCEPTS = tuple(_CONCEPTS.split())
DESCRIPTION = """
NUS-WIDE: images of Flickr, labelled by hand with 81 concepts. For research, on
the terms of the National University of Singapore; the images belong to those
who uploaded them, and some are not online any more.
"""
CITATION = """
@inproceedings{chua2009nuswide,
  title = {{NUS-WIDE}: A Real-World Web Image Database from National University
    of Singapore},
  author = {Chua, Tat-Seng and Tang, Jinhui and Hong, Richang and Li, Haojie and
    Luo, Zhiping and Zheng, Yantao},
  booktitle = {CIVR}, year = {2009}
}
"""


class Listed(NamedTuple):
  """What a form of the data set says.

  Attributes:
    labels: N names.
    splits: split to paths of images and their labels, uint8 [M, N].
    root: folder that the paths start from.
    notes: what was mended, for the metadata.
  """

  labels: tuple[str, ...]
  splits: Mapping[str, tuple[list[str], np.ndarray]]
  root: pathlib.Path
  notes: tuple[str, ...] = ()


def check_options(options: Mapping[str, Any]) -> None:
  """Raises a UserError for an option whose value is none."""
  for key, values in (
    ("layout", ("auto", "csv", "official")),
    ("unlabelled", ("drop", "keep")),
    ("missing", ("error", "drop")),
  ):
    annotation_files.check_choice("nus_wide", options, key, values)


def check_files(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> None:
  """Raises a UserError that names the files that are missing."""
  layout, csv, concepts = _layout(manual_dir, options["layout"])
  absent = [] if concepts else ["ConceptsList/Concepts81.txt"]
  if layout == "csv":
    absent = [] if csv else [f"{CSV} and ConceptsList/Concepts81.txt"]
  else:
    absent += nus_wide_lists.find(manual_dir, CONCEPTS)[1]
  if absent:
    raise annotation_files.missing(
      "nus_wide", manual_dir, absent, LAYOUT, HOMEPAGE
    )


def read_source(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> Source:
  """Reads either form; no image is opened.

  Args:
    manual_dir: folder with the files of `LAYOUT`.
    options: see `OPTIONS`.

  Raises:
    UserError: files are missing, damaged, or not the official ones.
  """
  chosen = {**OPTIONS, **options}
  check_files(manual_dir, chosen)
  layout, listed = _read(manual_dir, chosen["layout"])
  if chosen["official_counts"]:
    _check_counts(layout, listed)
  splits, dropped = {}, {}
  for split, (paths, labels_MN) in listed.splits.items():
    kept, dropped[split] = _kept(listed.root, paths, labels_MN, chosen)
    rows = np.flatnonzero(kept)
    splits[split] = annotation_files.take(listed.root, paths, labels_MN, rows)
  return Source(
    labels=listed.labels,
    biased_pairs=(),
    splits=splits,
    description=DESCRIPTION,
    citation=CITATION,
    homepage=HOMEPAGE,
    metadata={
      "layout": layout,
      "dropped": dropped,
      "notes": list(listed.notes),
    },
  )


def _layout(
  manual_dir: pathlib.Path, layout: str
) -> tuple[str, pathlib.Path | None, pathlib.Path | None]:
  """Returns which of the forms it is, the CSV and the list of concepts."""
  csv = annotation_files.locate(manual_dir, CSV)
  concepts = annotation_files.locate(
    manual_dir, "ConceptsList/Concepts81.txt", "Concepts81.txt"
  )
  if layout == "auto":
    layout = "csv" if csv or not concepts else "official"
  return layout, csv, concepts


def _read(manual_dir: pathlib.Path, layout: str) -> tuple[str, Listed]:
  """Reads either form, whose files are there."""
  layout, csv, concepts = _layout(manual_dir, layout)
  if layout == "csv":
    assert csv is not None
    progress.say(f"nus_wide: reading {csv}")
    table = nus_wide_lists.read_csv(csv, CONCEPTS)
    return layout, Listed(tuple(sorted(CONCEPTS)), *table)
  progress.say(f"nus_wide: reading the official lists in {manual_dir}")
  assert concepts is not None
  labels = nus_wide_lists.read_concepts(concepts, CONCEPTS)
  files, _ = nus_wide_lists.find(manual_dir, labels)
  return layout, Listed(labels, *nus_wide_lists.read_lists(files))


def _check_counts(layout: str, listed: Listed) -> None:
  counts = {split: len(rows[0]) for split, rows in listed.splits.items()}
  if counts != COUNTS[layout]:
    raise UserError(
      f"nus_wide has {counts['train']} training and {counts['test']} test "
      f"images in its lists: expected {COUNTS[layout]['train']} and "
      f"{COUNTS[layout]['test']}. Get the official files again, or accept a "
      "part of the data by --config.data.options.official_counts=False."
    )


def _kept(
  root: pathlib.Path,
  paths: list[str],
  labels_MN: np.ndarray,
  chosen: Mapping[str, Any],
) -> tuple[np.ndarray, dict[str, int]]:
  """Returns which images of a split stay, bool [M], and why others do not."""
  labelled = np.ones(len(paths), bool)
  there = labelled
  if chosen["unlabelled"] == "drop":
    labelled = labels_MN.any(1)
  if chosen["missing"] == "drop":
    there = np.array([(root / path).is_file() for path in paths])
  dropped = {
    "unlabelled": int((~labelled).sum()),
    "missing": int((labelled & ~there).sum()),
  }
  return labelled & there, dropped
