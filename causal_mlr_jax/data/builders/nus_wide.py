"""NUS-WIDE: images from Flickr with 81 concepts.

Two formats are read. The official format has lists of images and a file of 0
and 1 for each concept. The other is a CSV file by the authors of the asymmetric
loss (`nus_wid_data.csv`), which lists 119,103 training and 50,720 validation
images, all with labels; its validation images are the split `test` here, since
results are reported on them. Neither has a split for model selection: use a
part of `train`. The columns of the CSV file, found by name or else by position:

  filepath (or filename)    path of the image, relative to the folder of the
                            CSV file, `images` or `Flickr`
  label (or labels)         "['clouds', 'sky']"; "[]" or an empty cell for none
  split_name (or split)     train or val

The names of the columns, the list of concepts and the numbers of images are
from general knowledge and from what public programs read, not from the files.
Concepts81.txt on disk may list the 81 concepts in another order, which then is
the order of the labels.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import nus_wide_lists, reading
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
  "layout": "auto",  # csv | official; auto: csv if the CSV file exists
  "official_counts": True,
  "unlabelled": "drop",  # images without any label: drop | keep
  "missing": "error",  # images whose file does not exist: error | drop
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
LICENCE = """\
For research, on
the terms of the National University of Singapore; the images belong to those
who uploaded them, and some are not online any more."""
DESCRIPTION = f"""
NUS-WIDE: images of Flickr, labelled by hand with 81 concepts. {LICENCE}
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
  """The content of the data set's lists, in either format.

  Attributes:
    labels: N names.
    splits: Paths of images and their labels, uint8 [M, N], for each split.
    root: Folder that the paths are relative to.
    notes: Corrections that were made, for the metadata.
  """

  labels: tuple[str, ...]
  splits: Mapping[str, tuple[list[str], np.ndarray]]
  root: pathlib.Path
  notes: tuple[str, ...] = ()


def check_options(options: Mapping[str, Any]) -> None:
  """Raises a UserError if an option has an invalid value."""
  for key, values in (
    ("layout", ("auto", "csv", "official")),
    ("unlabelled", ("drop", "keep")),
    ("missing", ("error", "drop")),
  ):
    reading.check_choice("nus_wide", options, key, values)


def check_files(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> None:
  """Raises a UserError that lists missing files."""
  layout, csv, concepts = _layout(manual_dir, options["layout"])
  absent = [] if concepts else ["ConceptsList/Concepts81.txt"]
  if layout == "csv":
    absent = [] if csv else [f"{CSV} and ConceptsList/Concepts81.txt"]
  else:
    absent += nus_wide_lists.find(manual_dir, CONCEPTS)[1]
  if absent:
    raise reading.missing("nus_wide", manual_dir, absent, LAYOUT, HOMEPAGE)


def read_source(manual_dir: pathlib.Path, options: Mapping[str, Any]) -> Source:
  """Reads either format without opening images.

  Args:
    manual_dir: Folder with the files of `LAYOUT`.
    options: See `OPTIONS`.

  Raises:
    UserError: Files are missing, damaged, or not the official ones.
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
    splits[split] = reading.take(listed.root, paths, labels_MN, rows)
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
  """Returns the format, the CSV file and the list of concepts."""
  csv = reading.locate(manual_dir, CSV)
  concepts = reading.locate(
    manual_dir, "ConceptsList/Concepts81.txt", "Concepts81.txt"
  )
  if layout == "auto":
    layout = "csv" if csv or not concepts else "official"
  return layout, csv, concepts


def _read(manual_dir: pathlib.Path, layout: str) -> tuple[str, Listed]:
  """Reads either format, whose files are known to exist."""
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
      "part of the data with --config.data.options.official_counts=False."
    )


def _kept(
  root: pathlib.Path,
  paths: list[str],
  labels_MN: np.ndarray,
  chosen: Mapping[str, Any],
) -> tuple[np.ndarray, dict[str, int]]:
  """Returns which images are kept, bool [M], and counts of the dropped ones."""
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
