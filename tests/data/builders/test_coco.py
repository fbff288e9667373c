import json
import shutil

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.builders import coco
from causal_mlr_jax.data.preprocess import ops
from tests.data.builders import official


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("coco")
  return folder, official.write_coco(folder)


@pytest.fixture
def own(written, tmp_path):
  """A copy of the files that a test may spoil."""
  return shutil.copytree(written[0], tmp_path / "own")


@pytest.fixture(scope="module")
def dataset(written, tmp_path_factory):
  return official.prepared("coco", written[0], tmp_path_factory.mktemp("data"))


def read(folder, **options):
  return coco.read_source(folder, official.LOOSE | options)


def edit(folder, year, change):
  path = folder / "annotations" / f"instances_{year}.json"
  table = json.loads(path.read_text())
  change(table)
  path.write_text(json.dumps(table))


def test_the_labels_are_the_80_in_the_order_of_their_ids():
  assert len(set(coco.LABELS)) == 80
  assert list(coco.CATEGORIES) == sorted(coco.CATEGORIES)
  assert coco.LABELS[0] == "person"
  assert coco.LABELS[79] == "toothbrush"
  ids = list(coco.CATEGORIES)
  for category, place in ((13, 11), (18, 16), (90, 79)):
    assert ids[place] == category


def test_every_image_has_its_labels(written, dataset):
  folder, expected = written
  assert dataset.labels == coco.LABELS
  assert dataset.biased_pairs == ()
  for split, labels in expected.items():
    found = official.by_image(dataset, split)
    assert {k: names for k, (names, _) in found.items()} == labels
    year = coco.SPLITS[split][0]
    for image_id, (_, image) in found.items():
      path = folder / year / f"COCO_{year}_{image_id:012d}.jpg"
      assert image == path.read_bytes()
  empty = sum(not names for names in expected["train"].values())
  assert dataset.metadata["unlabelled_images"]["train"] == empty > 0


@pytest.mark.parametrize("split", ["train", "train[:50%]", "test"])
def test_batches_hold_the_pixels_and_the_labels_of_one_image(dataset, split):
  decode = ops.decode()
  records = dataset.source(split)
  batches = pipeline.train_batches(dataset, split, "decode", 4, seed=3)
  seen = set()
  for _ in range(2 * len(records) // 4 + 1):
    batch = next(batches)
    for k, index in enumerate(batch["index"]):
      record = records[int(index)]
      pixels = decode(record["image"], np.random.default_rng(0))
      np.testing.assert_array_equal(batch["image"][k], pixels)
      # Upright, whatever orientation EXIF says it was stored in.
      assert pixels.shape == (24, 30, 3)
      np.testing.assert_array_equal(batch["labels"][k], record["labels"])
      seen.add(int(index))
  assert seen == set(range(len(records)))


def test_images_without_labels_may_be_dropped(written, tmp_path):
  folder, expected = written
  kept = official.prepared("coco", folder, tmp_path)
  options = official.LOOSE | {"unlabelled": "drop"}
  dropped = official.prepared("coco", folder, tmp_path, options)
  assert kept.fingerprint != dropped.fingerprint
  for split, labels in expected.items():
    found = {k: names for k, names in labels.items() if names}
    assert len(found) < len(labels)
    got = official.by_image(dropped, split)
    assert {k: names for k, (names, _) in got.items()} == found


def test_a_wrong_option_is_found_at_once(written, tmp_path):
  options = official.LOOSE | {"unlabelled": "dropp"}
  section = official.section("coco", written[0], tmp_path, options)
  with pytest.raises(UserError, match="expected one of keep, drop"):
    dataset_lib.find_builder(section)


def test_the_official_numbers_of_images_are_asserted(written):
  with pytest.raises(UserError) as caught:
    coco.read_source(written[0], {})
  for words in (
    "train has 26 images, officially 82,783",
    "test has 11 images, officially 40,504",
    "official_counts=False",
  ):
    assert words in str(caught.value)


def test_all_missing_files_are_named_with_the_layout(own):
  shutil.rmtree(own / "val2014")
  (own / "annotations" / "instances_train2014.json").unlink()
  with pytest.raises(UserError) as caught:
    read(own)
  for words in (
    "val2014",
    "annotations/instances_train2014.json",
    "of annotations_trainval2014.zip",
    "cocodataset.org",
    "--config.data.manual_dir",
  ):
    assert words in str(caught.value)


def test_missing_images_are_named_together(own):
  for path in sorted((own / "train2014").iterdir())[:2]:
    path.unlink()
  next((own / "val2014").iterdir()).unlink()
  with pytest.raises(UserError) as caught:
    read(own)
  assert "3 problem(s)" in str(caught.value)
  assert str(caught.value).count("is missing") == 3


def test_other_categories_are_refused(own):
  def change(table):
    table["categories"][3]["name"] = "motorbike"
    del table["categories"][7]

  edit(own, "val2014", change)
  with pytest.raises(UserError) as caught:
    read(own)
  assert "4: 'motorbike', officially 'motorcycle'" in str(caught.value)
  assert "8: 'absent', officially 'truck'" in str(caught.value)
  assert "instances_val2014.json" in str(caught.value)


def test_objects_of_unknown_images_or_categories_are_refused(own):
  def change(table):
    table["annotations"][0]["image_id"] = 77
    table["annotations"][1]["category_id"] = 12
    table["images"].append(table["images"][0])

  edit(own, "train2014", change)
  with pytest.raises(UserError) as caught:
    read(own)
  assert "3 problem(s)" in str(caught.value)
  assert "image 77" in str(caught.value)
  assert "category 12" in str(caught.value)
  assert "1 images have the id of another" in str(caught.value)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("", "is not the official file"),
    ('{"images": [', "is not the official file"),
    ("[]", "is not the official file"),
    ('{"categories": []}', "does not hold the 80 categories"),
    ("\xff", "is not the official file"),
  ],
)
def test_a_broken_file_is_one_clear_error(own, text, words):
  path = own / "annotations" / "instances_train2014.json"
  path.write_bytes(text.encode("latin-1"))
  with pytest.raises(UserError, match=words):
    read(own)


def test_a_file_without_its_lists_is_refused(own):
  edit(own, "train2014", lambda table: table.pop("annotations"))
  with pytest.raises(UserError, match="it has no 'annotations'"):
    read(own)
