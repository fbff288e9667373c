"""NUS-WIDE in both of its forms, whole and damaged."""

import json

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import nus_wide
from causal_mlr_jax.data.formats import nus_wide_lists
from tests.data import prepare
from tests.data.builders import official_nus_wide as official

CONCEPTS = nus_wide.CONCEPTS
OPTIONS = {"official_counts": False, "unlabelled": "keep"}


@pytest.fixture
def values(rng):
  return {"train": official.labels(rng, 30), "test": official.labels(rng, 20)}


@pytest.fixture
def root(tmp_path, values):
  official.write(tmp_path, values)
  return tmp_path


def read(root, **options):
  return nus_wide.read_source(root, OPTIONS | options)


def fails(root, *matches, **options):
  with pytest.raises(UserError) as caught:
    read(root, **options)
  for match in matches:
    assert match in str(caught.value)
  return str(caught.value)


def check(source, paths, values, columns):
  assert list(source.splits) == ["train", "test"]
  for split, items in source.splits.items():
    assert [item.image_id for item in items] == paths[split]
    np.testing.assert_array_equal(
      [item.labels for item in items], values[split][:, columns]
    )
    assert items[0].labels.dtype == np.uint8
    for item in items:
      with Image.open(item.path) as image:
        assert image.size == (24, 16)
  json.dumps(source.metadata)


def test_the_list_of_concepts():
  assert len(CONCEPTS) == len(set(CONCEPTS)) == 81


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
@pytest.mark.parametrize("folder", ["TrainTestLabels", "AllLabels"])
def test_the_official_form(tmp_path, values, folder, end):
  paths = official.write(tmp_path, values, folder=folder, end=end)
  source = read(tmp_path)
  assert source.labels == CONCEPTS
  assert source.metadata["layout"] == "official"
  check(source, paths, values, np.arange(81))


def test_the_order_of_the_file_wins(tmp_path, values):
  order = np.random.default_rng(1).permutation(81)
  names = tuple(CONCEPTS[i] for i in order)
  paths = official.write(tmp_path, values, concepts=names)
  source = read(tmp_path)
  assert source.labels == names
  check(source, paths, values, order)


@pytest.mark.parametrize("images", ["", "images", "Flickr"])
def test_the_csv_form(tmp_path, values, images):
  paths = official.write_csv(tmp_path, values, images)
  source = read(tmp_path)
  assert source.labels == tuple(sorted(CONCEPTS))
  assert source.metadata["layout"] == "csv"
  check(source, paths, values, np.argsort(CONCEPTS))


def test_of_both_forms_the_csv_is_read(root, values, capsys):
  official.write_csv(root, values)
  assert read(root).metadata["layout"] == "csv"
  assert f"reading {root}/nus_wid_data.csv" in capsys.readouterr().err
  assert read(root, layout="official").metadata["layout"] == "official"


def test_images_without_label_are_dropped(root, values):
  values["train"][:3] = values["test"][5] = 0
  official.write(root, values)
  source = read(root, unlabelled="drop")
  for split, items in source.splits.items():
    has = values[split].any(1)
    np.testing.assert_array_equal(
      [item.labels for item in items], values[split][has]
    )
    dropped = {"unlabelled": (~has).sum(), "missing": 0}
    assert source.metadata["dropped"][split] == dropped


def test_images_that_are_not_there_may_be_dropped(root):
  (root / "Flickr/actor1/0003_train.jpg").unlink()
  assert len(read(root).splits["train"]) == 30  # the converter complains
  source = read(root, missing="drop")
  assert len(source.splits["train"]) == 29
  assert source.metadata["dropped"]["train"]["missing"] == 1


def test_official_counts(root, tmp_path_factory, values):
  fails(
    root, "30 training and 20 test", "161789 and 107859", official_counts=True
  )
  folder = tmp_path_factory.mktemp("csv")
  official.write_csv(folder, values)
  fails(folder, "119103 and 50720", official_counts=True)


def test_missing_files_are_named(tmp_path, values):
  message = fails(tmp_path, "nus_wid_data.csv and ConceptsList/Concepts81.txt")
  assert "Labels_<concept>_Train.txt" in message
  fails(tmp_path, "lacks nus_wid_data.csv and", layout="csv")
  fails(
    tmp_path,
    "lacks ConceptsList/Concepts81.txt, ImageList/TrainImagelist.txt, "
    "ImageList/TestImagelist.txt, Flickr, Groundtruth/TrainTestLabels/. ",
    layout="official",
  )
  official.write(tmp_path, values)
  labels = tmp_path / "Groundtruth/TrainTestLabels"
  (labels / "Labels_zebra_Test.txt").unlink()
  (labels / "Labels_bear_Train.txt").unlink()
  (tmp_path / "ImageList/TestImagelist.txt").unlink()
  fails(
    tmp_path,
    "lacks ImageList/TestImagelist.txt, TrainTestLabels/Labels_bear_Train.txt, "
    "TrainTestLabels/Labels_zebra_Test.txt. Expected",
  )


def test_lists_in_another_case(root):
  lists = root / "ImageList"
  (lists / "TrainImagelist.txt").rename(lists / "TrainImageList.txt")
  lists.rename(root / "imagelist")
  assert len(read(root).splits["train"]) == 30


def test_other_concepts(tmp_path, values):
  names = (*CONCEPTS[:-2], "unicorn", CONCEPTS[0])
  official.write(tmp_path, values, concepts=names)
  fails(
    tmp_path,
    "'unicorn' is not one of the 81",
    "'window' is missing",
    "'zebra' is missing",
    "a name appears twice",
  )


def test_damaged_labels(root):
  labels = root / "Groundtruth/TrainTestLabels"
  file = labels / "Labels_cat_Train.txt"
  file.write_text("2\n" + file.read_text()[2:])
  (labels / "Labels_dog_Test.txt").write_text("0\n1\n")
  (labels / "Labels_fox_Test.txt").write_text("")
  fails(
    root,
    "Labels_cat_Train.txt:1: got '2', expected 0 or 1",
    "Labels_dog_Test.txt: 2 lines, expected 20",
    "Labels_fox_Test.txt: 1 lines, expected 20",
  )


def test_the_known_error_in_the_official_labels(tmp_path, capsys):
  file = tmp_path / "Labels_lake_Train.txt"
  (erratum,) = nus_wide_lists.ERRATA
  assert erratum == (file.name, 78372, b"-1130179")
  lines = ["1"] * 78371 + ["-1130179", "1"]
  file.write_text("\n".join(lines) + "\n")
  problems, notes = nus_wide_lists.Problems(), []
  values = nus_wide_lists._read_values(file, problems, notes)
  problems.raise_if_any("", "")
  np.testing.assert_array_equal(np.flatnonzero(values == 0), [78371])
  assert notes == ["Labels_lake_Train.txt:78372: -1130179 is taken for 0"]
  lines[5] = "-1130179"  # elsewhere it is an error
  file.write_text("\n".join(lines) + "\n")
  nus_wide_lists._read_values(file, problems, notes)
  with pytest.raises(UserError, match=r"Train\.txt:6: got '-1130179'"):
    problems.raise_if_any("", "")


def test_damaged_lists(root):
  file = root / "ImageList/TrainImagelist.txt"
  lines = file.read_text().split("\n")
  lines[3], lines[4] = lines[2], "..\\etc\\passwd"
  file.write_text("\n".join(lines))
  fails(
    root,
    "TrainImagelist.txt:4: actor0/0002_train.jpg also appears in line 3",
    "TrainImagelist.txt:5: path '..\\\\etc\\\\passwd' leads out of the folder",
  )
  file.write_text("")
  fails(root, "TrainImagelist.txt: lists no images")


def test_an_image_that_is_in_no_list(tmp_path, values):
  official.write(tmp_path, values, folder="AllLabels")
  file = tmp_path / "ImageList/Imagelist.txt"
  file.write_text(file.read_text().replace("0007_train", "9999_train"))
  fails(
    tmp_path,
    "1 images are not in Imagelist.txt, such as actor1/0007_train.jpg",
  )


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("filepath,label\n", "0 columns split_name or split, expected one"),
    ("filepath,label,label,split\n", "2 columns label or labels, expected one"),
    ("x,label,split\n/a.jpg,[],val\n", ":2: absolute path '/a.jpg'"),
    ("", "is empty"),
    ("filepath,label,split\na.jpg,\"['sky']\",test\n", ":2: split 'test'"),
    (
      "filepath,label,split\na.jpg,\"['skies']\",val\n",
      ":2: 'skies' is not one",
    ),
    ("filepath,label,split\na.jpg,['sky', 'sea'],val\n", ":2: 4 cells"),
    ("filepath,label,split\na.jpg,\"['sky'\"x,val\n", ":2 is not valid CSV"),
    ("filepath,label,split\n/a.jpg,[],val\n", ":2: absolute path '/a.jpg'"),
    ("filepath,label,split\na.jpg,[],val\na.jpg,[],val\n", ":3: a.jpg also"),
    ("filepath,label,split\na.jpg,[],val\n", "no images in the split train"),
  ],
)
def test_damaged_csv(tmp_path, text, problem):
  (tmp_path / nus_wide.CSV).write_text(text)
  assert nus_wide.CSV in fails(tmp_path, problem)


def test_csv_with_mark_other_ends_and_other_columns(tmp_path):
  text = (
    "split,labels,filename,x\r\nval,[],a.jpg,\r\n\r\ntrain,['sky'],b.jpg,0\r\n"
  )
  (tmp_path / nus_wide.CSV).write_bytes(b"\xef\xbb\xbf" + text.encode())
  source = read(tmp_path)
  assert source.splits["test"][0].image_id == "a.jpg"
  (train,) = source.splits["train"]
  assert train.labels.sum() == train.labels[source.labels.index("sky")] == 1


def test_options():
  good = nus_wide.OPTIONS
  nus_wide.check_options(good)
  for key, value in (
    ("layout", "cvs"),
    ("unlabelled", "no"),
    ("missing", ""),
  ):
    with pytest.raises(UserError, match=f"data.options.{key}"):
      nus_wide.check_options(good | {key: value})


@pytest.mark.parametrize("write", [official.write, official.write_csv])
def test_conversion(tmp_path, tmp_path_factory, values, write):
  write(tmp_path, values)
  folder = tmp_path_factory.mktemp("data")
  dataset = prepare.prepared("nus_wide", tmp_path, folder, OPTIONS)
  prepare.check_the_same(dataset, read(tmp_path))
