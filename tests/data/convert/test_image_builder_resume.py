import shutil

import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.convert import shards
from tests.data.builders import official
from tests.data.convert import plain
from tests.data.convert.plain import SCRIPT, digests, make, prepare


@pytest.fixture
def files(tmp_path):
  return plain.write(tmp_path / "files")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(shards, "IMAGES_A_SHARD", 4)


@pytest.mark.parametrize(
  ("place", "after", "left"),
  [
    ("records", 0, 8),
    ("records", 3, 5),
    ("note", 4, 5),  # the first note is on the source
    ("metadata", 0, 0),
    ("move", 0, 0),
    ("remove", 0, 0),
  ],
)
def test_a_conversion_that_was_killed_goes_on(
  forks, files, tmp_path, capfd, place, after, left
):
  data = tmp_path / "data"
  (done,) = forks.run(SCRIPT, (files, data, place, after))
  assert done.returncode == -9, done.stderr
  builder = make(files, data)
  if place != "remove":
    assert not dataset_lib.is_prepared(builder)
    with pytest.raises(UserError, match="--mode=train"):
      dataset_lib.open_prepared(builder)
  capfd.readouterr()
  dataset_lib.prepare(builder)
  said = capfd.readouterr().err
  assert (f"going on with {left} of 8" in said) == (0 < left < 8)
  prepare(files, tmp_path / "unbroken")
  shutil.rmtree(f"{builder.data_dir}.partial", ignore_errors=True)
  (data / "plain" / "default" / ".1.0.0.lock").unlink(missing_ok=True)
  assert digests(data) == digests(tmp_path / "unbroken")


def test_a_conversion_that_was_interrupted_goes_on(
  files, tmp_path, monkeypatch
):
  write, written = shards.write, []

  def cut(shard, *args):
    if len(written) == 3:
      raise KeyboardInterrupt
    written.append(shard.filename)
    return write(shard, *args)

  builder = make(files, tmp_path / "data")
  with monkeypatch.context() as patch:
    patch.setattr(shards, "write", cut)
    with pytest.raises(KeyboardInterrupt):
      dataset_lib.prepare(builder)
    assert not dataset_lib.is_prepared(builder)
    written = []
    with pytest.raises(KeyboardInterrupt):
      dataset_lib.prepare(builder)
    assert written[0].startswith("plain-train.array_record-00003")
  dataset_lib.prepare(builder)
  prepare(files, tmp_path / "unbroken")
  assert digests(tmp_path / "data") == digests(tmp_path / "unbroken")


@pytest.mark.parametrize("change", ["size", "more", "labels"])
def test_a_source_that_changed_is_converted_anew(
  files, tmp_path, monkeypatch, capfd, change
):
  def stop(*args):
    raise KeyboardInterrupt

  builder = make(files, tmp_path / "data")
  with monkeypatch.context() as patch:
    patch.setattr(shards.tfds_files, "write_labels", stop)
    with pytest.raises(KeyboardInterrupt):
      dataset_lib.prepare(builder)
  first = files / "train" / "01_b.jpg"
  if change == "size":
    first.write_bytes(official.encoded(official.picture(99, 40, 40)))
  elif change == "labels":
    first.rename(files / "train" / "01_ac.jpg")
  else:
    (files / "train" / "77_c.jpg").write_bytes(official.jpeg(77))
    (files / "train" / "78_c.jpg").write_bytes(official.jpeg(78))
  capfd.readouterr()
  dataset_lib.prepare(builder)
  said = capfd.readouterr().err
  assert "the source has changed" in said
  # The shards that do not hold the image, and those of the other split.
  fit = 2 if change == "more" else 7
  assert f"{fit} of {9 if change == 'more' else 8} shards still fit" in said
  prepare(files, tmp_path / "unbroken")
  assert digests(tmp_path / "data") == digests(tmp_path / "unbroken")


def test_of_two_at_once_one_waits(forks, files, tmp_path):
  both = forks.run(SCRIPT, *[(files, tmp_path / "data")] * 2)
  assert [done.returncode for done in both] == [0, 0], both
  prepare(files, tmp_path / "unbroken")
  assert digests(tmp_path / "data") == digests(tmp_path / "unbroken")
