import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.convert import shards
from tests import small
from tests.data.builders import official


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  folder = tmp_path_factory.mktemp("files")
  official.write_coco(folder)
  return folder


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(shards, "IMAGES_A_SHARD", 8)


@pytest.fixture(scope="module")
def dataset(files, tmp_path_factory):
  return official.prepared("coco", files, tmp_path_factory.mktemp("data"))


def ids(dataset, split):
  return [record["image_id"] for record in dataset.source(split)]


@pytest.mark.parametrize(
  ("part", "rows"),
  [
    ("", slice(None)),
    ("[:]", slice(None)),
    ("[:95%]", slice(0, 24)),
    ("[95%:]", slice(24, 26)),
    ("[:0%]", None),
    ("[10:]", slice(10, 26)),
    ("[3:7]", slice(3, 7)),
    ("[50%:20]", slice(13, 20)),
    ("[:26]", slice(None)),
  ],
)
def test_parts_of_a_split(dataset, part, rows):
  split = f"train{part}"
  if rows is None:
    with pytest.raises(UserError, match="holds no image"):
      dataset.source(split)
    return
  whole = ids(dataset, "train")
  assert ids(dataset, split) == whole[rows]
  matrix = dataset.label_matrix(split)
  np.testing.assert_array_equal(matrix, dataset.label_matrix("train")[rows])
  assert matrix.dtype == np.uint8
  source = dataset.source(split)
  assert source[len(source) - 1]["image_id"] == source[-1]["image_id"]
  with pytest.raises(IndexError):
    source[len(source)]


@pytest.mark.parametrize("percent", [1, 7, 50, 95, 99])
def test_two_parts_share_a_split_out(dataset, percent):
  whole = ids(dataset, "train")
  found = []
  for part in (f"[:{percent}%]", f"[{percent}%:]"):
    try:
      found += ids(dataset, f"train{part}")
    except UserError:
      assert percent == 1  # of 26 images there are 0
  assert found == whole


def test_a_part_is_a_random_sample(dataset):
  # The files are in the order of their ids.
  first = [int(image_id) for image_id in ids(dataset, "train[:50%]")]
  assert first != sorted(first)
  assert max(first) > 60


@pytest.mark.parametrize(
  "split",
  [
    "train[5]",
    "train[:-5]",
    "train[:5%%]",
    "train[:1.5%]",
    "train[:5",
    "train[:101%]",
    "train[a:b]",
    "train[:5][:3]",
    "[:5]",
    "",
  ],
)
def test_what_is_no_split_is_an_error(dataset, split):
  with pytest.raises(UserError, match="expected the name of a split"):
    dataset.source(split)
  with pytest.raises(UserError, match="expected the name of a split"):
    dataset_lib.parse_split(split)


@pytest.mark.parametrize("split", ["train[7:7]", "train[9:3]", "train[:27]"])
def test_a_part_must_lie_inside_and_hold_an_image(dataset, split):
  with pytest.raises(UserError, match="the split 'train' has 26"):
    dataset.source(split)


def test_an_unknown_split_names_the_others(dataset):
  with pytest.raises(UserError, match=r"Did you mean 'train'\? .*test, train"):
    dataset.source("trian[:5]")


def test_parts_feed_batches_and_leave_the_fingerprint(dataset):
  before = dataset.fingerprint
  batches = list(
    pipeline.evaluation_batches(dataset, "train[95%:]", "decode", 4)
  )
  assert len(batches) == 1
  np.testing.assert_array_equal(batches[0]["mask"], [1, 1, 0, 0])
  np.testing.assert_array_equal(
    batches[0]["labels"][:2], dataset.label_matrix("train")[24:]
  )
  assert dataset.fingerprint == before


def test_parts_of_a_data_set_that_is_computed(data_dir):
  dataset = small.dataset(data_dir)
  np.testing.assert_array_equal(
    dataset.label_matrix("train[90%:]"), dataset.label_matrix("train")[86:]
  )


def test_official_files_are_not_needed_once_prepared(files, tmp_path):
  first = official.prepared("coco", files, tmp_path)
  section = official.section("coco", "", tmp_path)
  again = dataset_lib.open_prepared(dataset_lib.find_builder(section))
  assert again.fingerprint == first.fingerprint
  assert again.metadata == first.metadata
  gone = official.section("coco", tmp_path / "gone", tmp_path)
  assert dataset_lib.is_prepared(dataset_lib.find_builder(gone))


@pytest.mark.parametrize(
  ("manual_dir", "words"),
  [("", "is not set"), ("/no/such", "is not a folder: /no")],
)
def test_official_files_that_are_needed(files, tmp_path, manual_dir, words):
  official.prepared("coco", files, tmp_path / "data")
  section = official.section("coco", manual_dir, tmp_path / "data", {})
  with pytest.raises(UserError) as caught:
    dataset_lib.find_builder(section)
  for text in (
    f"--config.data.manual_dir {words}",
    "of annotations_trainval2014.zip",
    "--config.data.dir",
    "variants found there: ",
  ):
    assert text in str(caught.value)


def test_a_variant_is_not_for_choice_where_options_make_it(files, tmp_path):
  section = official.section("coco", files, tmp_path, variant="small")
  with pytest.raises(UserError, match="Choices: default"):
    dataset_lib.find_builder(section)
  section = official.section(
    "context_emoji", "", tmp_path, {"unlabelled": "keep"}, variant="small"
  )
  with pytest.raises(UserError, match="no option 'unlabelled'"):
    dataset_lib.find_builder(section)


def spoil(path):
  path.write_bytes(path.read_bytes()[:90])


@pytest.mark.parametrize(
  ("pattern", "change", "words"),
  [
    ("dataset_info.json", spoil, "is damaged"),
    ("metadata.json", spoil, "is damaged"),
    ("features.json", spoil, "is damaged"),
    ("features.json", lambda path: path.unlink(), "is damaged"),
    ("*-00000-of-00004", lambda path: path.unlink(), "cannot be read"),
    ("*-00000-of-00004", spoil, "cannot be read"),
    ("labels_train.npy", spoil, "labels_train.npy of the split 'train'"),
    (
      "labels_train.npy",
      lambda path: np.save(path, np.zeros((3, 80), np.uint8)),
      "3 rows, not 26",
    ),
  ],
)
def test_damaged_files_are_one_clear_error(
  files, tmp_path, pattern, change, words
):
  official.prepared("coco", files, tmp_path)
  (path,) = tmp_path.rglob(pattern)
  change(path)
  builder = dataset_lib.find_builder(official.section("coco", "", tmp_path))
  with pytest.raises(UserError, match=words) as caught:
    dataset_lib.open_prepared(builder).label_matrix("train")
  assert "prepare it anew" in str(caught.value)
