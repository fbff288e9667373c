import functools
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.convert import image_builder, shards
from causal_mlr_jax.data.formats import image_check
from tests.data.builders import official
from tests.data.convert import plain
from tests.data.convert.plain import digests, prepare


@pytest.fixture
def files(tmp_path):
  return plain.write(tmp_path / "files")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(shards, "IMAGES_A_SHARD", 4)


@functools.cache
def bad_images():
  rng = np.random.default_rng(0)
  noise = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
  whole = official.encoded(noise)
  deep = Image.fromarray(np.full((9, 9), 0.5, np.float32))
  png = official.encoded(noise, "PNG")
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    bomb = official.encoded(Image.new("1", (12_000, 10_000)), "PNG")
    worse = official.encoded(Image.new("1", (20_000, 10_000)), "PNG")
  return {
    "truncated JPEG": (whole[: len(whole) // 2], "truncated"),
    "truncated PNG": (png[: len(png) // 2], "cannot be decoded"),
    "broken PNG": (png[:200] + b"\0" * 99 + png[299:], "cannot be decoded"),
    "header alone": (whole[:20], "cannot be decoded"),
    "empty": (b"", "is empty"),
    "text": (b"Not found", "is neither JPEG nor PNG"),
    "GIF": (official.encoded(noise, "GIF"), "neither JPEG nor PNG.*GIF8"),
    "floats": (official.encoded(deep, "TIFF"), "neither JPEG nor PNG"),
    "too large": (bomb, "120000000 pixels"),
    "far too large": (worse, "200000000 pixels"),
  }


@pytest.mark.parametrize("name", bad_images())
def test_a_bad_image_is_found(files, tmp_path, name):
  data, words = bad_images()[name]
  path = files / "train" / "01_b.jpg"
  path.write_bytes(data)
  with pytest.raises(UserError, match=words) as caught:
    prepare(files, tmp_path / "data")
  assert "1 of the 29 images of plain cannot be used" in str(caught.value)
  assert f"{path}: " in str(caught.value)
  assert "max_bad_images is 0" in str(caught.value)
  assert "Traceback" not in str(caught.value)


def test_an_image_that_cannot_be_read_is_bad(files):
  with image_check.strict():
    found = image_check.check(files)
  assert found == (b"", "cannot be read: Is a directory")


def test_bad_images_may_be_left_out(files, tmp_path, capfd):
  spoiled = {files / "train" / "01_b.jpg", files / "test" / "02_ab.jpg"}
  for path in spoiled:
    path.write_bytes(path.read_bytes()[:300])
  with pytest.raises(UserError, match="2 of the 29 images"):
    prepare(files, tmp_path / "data", bad=1)
  capfd.readouterr()
  dataset = prepare(files, tmp_path / "data", bad=2)
  said = capfd.readouterr().err
  assert "going on with 2 of 8 shards" in said
  for path in spoiled:
    assert f"left out {path}: cannot be decoded" in said
  assert len(dataset.source("train")) == len(dataset.label_matrix("train"))
  assert len(dataset.source("train")) == 22
  assert len(dataset.source("test")) == 5
  assert {
    (row["split"], row["path"], row["image_id"])
    for row in dataset.metadata["skipped"]
  } == {
    ("train", "train/01_b.jpg", "01_b"),
    ("test", "test/02_ab.jpg", "02_ab"),
  }
  for split in ("train", "test"):
    np.testing.assert_array_equal(
      dataset.label_matrix(split),
      [record["labels"] for record in dataset.source(split)],
    )


def test_a_mended_image_costs_its_shard_alone(files, tmp_path, capfd):
  path = files / "train" / "01_b.jpg"
  whole = path.read_bytes()
  path.write_bytes(whole[:300])
  with pytest.raises(UserError):
    prepare(files, tmp_path / "data")
  path.write_bytes(whole)
  capfd.readouterr()
  prepare(files, tmp_path / "data")
  assert "going on with 1 of 8 shards" in capfd.readouterr().err
  prepare(files, tmp_path / "unbroken")
  assert digests(tmp_path / "data") == digests(tmp_path / "unbroken")


def test_it_stops_when_far_too_many_are_bad(files, tmp_path, monkeypatch):
  monkeypatch.setattr(image_builder, "MORE_BAD", 3)
  monkeypatch.setattr(shards, "NAMED", 3)
  for path in (files / "train").iterdir():
    path.write_bytes(b"nothing")
  with pytest.raises(UserError) as caught:
    prepare(files, tmp_path / "data", bad=5)
  assert "At least 8 of the 29 images" in str(caught.value)
  assert "and 5 more" in str(caught.value)


def test_a_split_without_a_good_image_is_refused(files, tmp_path):
  for path in (files / "test").iterdir():
    path.write_bytes(b"nothing")
  with pytest.raises(UserError, match="None of the 6 images of the split"):
    prepare(files, tmp_path / "data", bad=6)


def test_a_shard_without_a_good_image_is_empty(files, tmp_path):
  for name in sorted(os.listdir(files / "train")):
    order = np.random.default_rng(shards.ORDER_SEED).permutation(23)
    if int(name[:2]) in order[4:8]:
      (files / "train" / name).write_bytes(b"nothing")
  dataset = prepare(files, tmp_path / "data", bad=4)
  assert len(dataset.source("train")) == 19
  for record, row in zip(
    dataset.source("train"), dataset.label_matrix("train"), strict=True
  ):
    np.testing.assert_array_equal(record["labels"], row)
