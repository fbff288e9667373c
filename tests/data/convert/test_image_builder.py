import pathlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.convert import shards
from causal_mlr_jax.data.preprocess import op_string
from tests.data.builders import official
from tests.data.convert import plain
from tests.data.convert.plain import (
  LABELS,
  PLAIN,
  SCRIPT,
  digests,
  make,
  prepare,
  read_plain,
)


@pytest.fixture
def files(tmp_path):
  return plain.write(tmp_path / "files")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(shards, "IMAGES_A_SHARD", 4)


def test_bytes_labels_and_names_are_kept(files, tmp_path):
  dataset = prepare(files, tmp_path / "data")
  folder = tmp_path / "data" / "plain" / "default" / "1.0.0"
  builder = tfds.builder_from_directory(folder)
  raw = {"image": tfds.decode.SkipDecoding()}
  for split in ("train", "test"):
    paths = {p.stem: p for p in (files / split).iterdir()}
    source = builder.as_data_source(split, decoders=raw)
    names = [record["image_id"].decode() for record in source]
    assert sorted(names) == sorted(paths) != names
    order = np.random.default_rng(shards.ORDER_SEED).permutation(len(paths))
    assert names == [sorted(paths)[i] for i in order]
    for name, record in zip(names, source, strict=True):
      assert record["image"] == paths[name].read_bytes()
      assert record["labels"].dtype == np.uint8
      kept = {LABELS[i] for i in np.flatnonzero(record["labels"])}
      assert kept == set(name.partition("_")[2])
    np.testing.assert_array_equal(
      dataset.label_matrix(split), [record["labels"] for record in source]
    )
  assert dataset.labels == LABELS
  assert dataset.biased_pairs == ((0, 2),)
  metadata = dataset.metadata
  assert metadata["origin"] == "here"
  assert metadata["skipped"] == []
  assert metadata["options"] == PLAIN.OPTIONS | {"names": ["x"]}
  assert metadata["order_seed"] == shards.ORDER_SEED
  assert builder.info.full_name == "plain/default/1.0.0"
  assert builder.info.splits["train"].num_shards == 6


def test_every_form_that_is_kept_decodes(files, tmp_path):
  decode = op_string.parse("decode")
  for record in prepare(files, tmp_path / "data").source("train"):
    k = int(record["image_id"][:2])
    pixels = decode(record["image"], np.random.default_rng(0)).astype(int)
    # Some files are stored turned, and EXIF says how.
    assert pixels.shape == (24, 30, 3)
    expected = official.picture(k)
    if k % 5 == 0:
      expected = expected.convert(plain.MODES[k // 5])
    elif k % 4 == 1:
      expected = expected.convert("L")
    expected = np.asarray(expected.convert("RGB"), int)
    assert np.abs(pixels - expected).mean() < 4, k


def test_two_conversions_give_the_same_bytes(forks, files, tmp_path):
  prepare(files, tmp_path / "one")
  moved = files.rename(tmp_path / "elsewhere")
  forks.run(SCRIPT, (moved, tmp_path / "two"))
  one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
  assert one == two
  assert all(name.startswith("plain/default/1.0.0/") for name in one)
  assert {pathlib.Path(name).name for name in one} == {
    *(f"plain-train.array_record-{k:05d}-of-00006" for k in range(6)),
    *(f"plain-test.array_record-{k:05d}-of-00002" for k in range(2)),
    "dataset_info.json",
    "features.json",
    "metadata.json",
    "labels_train.npy",
    "labels_test.npy",
  }


def test_missing_images_and_empty_splits_are_named(files, tmp_path):
  def without(manual_dir, options):
    source = read_plain(manual_dir, options)
    for item in source.splits["train"][:2]:
      item.path.unlink()
    return source

  def empty(manual_dir, options):
    source = read_plain(manual_dir, options)
    source.splits["test"].clear()
    return source

  module = types.SimpleNamespace(**vars(PLAIN) | {"read_source": empty})
  with pytest.raises(UserError, match="'test' of plain has no image"):
    prepare(files, tmp_path / "data", module=module)
  module.read_source = without
  with pytest.raises(UserError) as caught:
    prepare(files, tmp_path / "data", module=module)
  assert "2 image files of plain are missing" in str(caught.value)
  assert "00_a.png" in str(caught.value)
  assert not (tmp_path / "data" / "plain").exists()


def test_options_make_the_variant(files, tmp_path):
  default = make(files, tmp_path)
  assert default.variant == "default"
  assert make(files, tmp_path, {"size": 3}).variant == "default"
  assert make(files, tmp_path, {"names": ["x"]}).variant == "default"
  other = make(files, tmp_path, {"size": 4, "part": 1})
  assert other.options["part"] == 1.0
  assert len(other.variant) == 8
  assert other.data_dir.endswith(f"plain/{other.variant}/1.0.0")
  more = {
    "content_key": lambda root, options: f"{root.name}",
    "VERSION": "2.1.0",
  }
  module = types.SimpleNamespace(**vars(PLAIN) | more)
  keyed = make(files, tmp_path, module=module)
  assert keyed.variant.startswith("default-")
  assert keyed.data_dir.endswith("2.1.0")
  (tmp_path / "b").mkdir()
  assert make(tmp_path / "b", tmp_path, module=module).variant != keyed.variant
  with pytest.raises(UserError, match="manual_dir is not set"):
    make("", tmp_path, module=module)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"sise": 3}, "Did you mean 'size'"),
    ({"size": "3"}, "expected a value of type int, such as 3"),
    ({"size": True}, "expected a value of type int"),
    ({"flag": 1}, "expected a value of type bool"),
    ({"names": "x"}, "expected a value of type tuple"),
  ],
)
def test_a_wrong_option_is_an_error(files, tmp_path, options, words):
  with pytest.raises(UserError, match=words):
    make(files, tmp_path, options)


def test_a_folder_that_is_no_data_set_is_left_alone(files, tmp_path):
  builder = make(files, tmp_path / "data")
  mine = pathlib.Path(builder.data_dir) / "mine"
  mine.mkdir(parents=True)
  with pytest.raises(UserError, match="is not a prepared data set"):
    dataset_lib.prepare(builder)
  assert mine.exists()


def test_a_place_that_cannot_be_written(files, tmp_path):
  (tmp_path / "file").write_text("no folder")
  with pytest.raises(UserError, match=r"Set --config\.data\.dir"):
    prepare(files, tmp_path / "file")


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, most))
try:
  dataset.prepare(plain.make(files, data))
finally:  # what is said goes to a file, too
  resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""


def test_a_full_disk_is_one_clear_error(forks, files, tmp_path):
  code = SCRIPT.replace("dataset.prepare(plain.make(files, data))\n", FULL)
  (done,) = forks.run(code, (files, tmp_path / "data"))
  last = done.stderr.strip().splitlines()[-1]
  assert "UserError: Cannot prepare the data set 'plain'" in last
  assert "File too large" in last
  assert "enough space" in last
  assert not dataset_lib.is_prepared(make(files, tmp_path / "data"))
  prepare(files, tmp_path / "data")
