"""Confounders of a run: of which images they are, and learned ones."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.confounders import build
from causal_mlr_jax.core import atomic_files, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.stages import confounders
from causal_mlr_jax.stages import data as data_stage
from configs import coco_to_nus
from tests import small
from tests.test_official import write_coco, write_nus_wide

TARGET = {"confounders.data": "target", "confounders.num": 4}


def provenance(workdir):
  return atomic_files.read_json(workdir / "confounders" / build.PROVENANCE)


def test_the_program_makes_them_of_the_images_tested_on(data_dir, tmp_path):
  config = small.config("causal", data_dir, **TARGET)
  run.run(config, str(tmp_path), "confounders")
  found = provenance(tmp_path)
  name = config.data.name
  assert found["images"] == f"{name}:test_shifted, without labels"
  assert [split for _, split in found["target"]] == ["test_shifted"]
  assert found["config"]["data"] == "target"
  built = build.load(tmp_path / "confounders", "share")
  dataset = small.dataset(data_dir)
  assert len(built.context_share) == len(dataset.source("train"))
  other = small.config(
    "causal", data_dir, **TARGET | {"confounders.target_splits": ("test",)}
  )
  run.run(other, str(tmp_path), "confounders")
  assert provenance(tmp_path)["fingerprint"] != found["fingerprint"]


def test_caches_of_the_training_images_keep_their_place(data_dir, tmp_path):
  """What an earlier version built has no word of the images."""
  config = small.config("causal", data_dir)
  run.run(config, str(tmp_path), "confounders")
  path = tmp_path / "confounders" / build.PROVENANCE
  old = provenance(tmp_path)
  assert "target" not in old
  del old["images"]
  atomic_files.write_json(path, old)
  run.run(config, str(tmp_path), "confounders")
  assert provenance(tmp_path) == old


def test_images_that_are_not_named_are_asked_for():
  mesh = parallel.make_mesh()
  for data in ("target", "both"):
    empty = {"confounders.data": data, "confounders.target_splits": ()}
    config = small.config("causal", "unused", **empty)
    with pytest.raises(UserError, match=r"transfer.name.*target_splits"):
      confounders.check(config, mesh)
  confounders.check(small.config("causal", "unused", **TARGET), mesh)
  transfer = coco_to_nus.get_config()
  transfer.confounders.data = "target"
  assert transfer.confounders.target_splits == ()
  confounders.check(transfer, mesh)


def test_a_wrong_split_is_an_error_before_anything_is_built(data_dir, tmp_path):
  config = small.config(
    "causal", data_dir, **TARGET | {"confounders.target_splits": ("tests",)}
  )
  with pytest.raises(UserError, match=r"'tests'.*'test'"):
    run.run(config, str(tmp_path), "confounders")
  assert not (tmp_path / "confounders").exists()


def test_the_images_of_another_data_set(tmp_path):
  config = coco_to_nus.get_config()
  for section, write in (
    (config.data, write_coco),
    (config.transfer, write_nus_wide),
  ):
    files_ = tmp_path / section.name
    files_.mkdir()
    write(files_)
    section.update(dir=str(tmp_path / "data"), manual_dir=str(files_))
    section.options.official_counts = False
  config.data.preprocess_evaluate = "decode|resize(32)"
  config.confounders = small.config("causal", "unused").confounders
  config.confounders.update(data="both", num=4, batch_size=8)
  run.run(config.lock(), str(tmp_path / "run"), "confounders")
  found = provenance(tmp_path / "run")
  train = config.data.train_split
  assert found["images"] == f"coco:{train}, nus_wide:test, without labels"
  # 8 by 8 positions of 32 pixels: of the images of both.
  images = confounders.images_of(
    config, data_stage.open_dataset(config.data, [train]), True
  )
  train_size = images.train.size
  assert images.chosen().size == train_size + 12
  assert found["positions"] == 64 * (train_size + 12)
  built = build.load(tmp_path / "run" / "confounders", "share")
  assert built.context_share.shape == (train_size, 4)


def parameters(workdir, name):
  (folder,) = (workdir / "checkpoints").glob("4/state")
  with ocp.StandardCheckpointer() as checkpointer:
    state = checkpointer.restore(folder)
  return np.asarray(state[name]["head"]["confounders"])


@pytest.mark.slow
def test_learned_confounders_are_trained_and_kept(data_dir, tmp_path):
  config = small.config(
    "causal",
    data_dir,
    **{
      "method.learn_confounders": True,
      "confounders.kind": "random",
      "train.epochs": 1.0,
      "data.test_splits": ("test",),
    },
  )
  run.run(config, str(tmp_path), "train")
  path = tmp_path / "report" / "report.json"
  report = json.loads(path.read_text())
  assert report["side_inputs"]["confounders of"] == f"{config.data.name}:train"
  (centres, prior), _, _ = build.load(tmp_path / "confounders", "share")
  start = centres - prior @ centres
  start /= np.sqrt((prior @ start**2).mean())
  params = parameters(tmp_path, "params")
  moved = np.abs(params - start)
  assert params.shape == start.shape
  assert (moved.max(1) > 1e-4).all()
  assert moved.max() < 0.5
  assert np.abs(parameters(tmp_path, "ema_params") - start).max() > 1e-5
  # Evaluated with other centres beside it, the checkpoint has its own.
  arrays = atomic_files.read_arrays(tmp_path / "confounders" / build.ARRAYS)
  arrays["centres"] = -arrays["centres"][:, ::-1]
  atomic_files.write_arrays(tmp_path / "confounders" / build.ARRAYS, **arrays)
  path.unlink()
  run.run(config, str(tmp_path), "evaluate")
  assert json.loads(path.read_text())["metrics"] == report["metrics"]
