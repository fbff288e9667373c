"""Two epochs on each data set, from files in the official form to a report."""

import importlib
import json

import numpy as np
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import UserError
from configs import common
from tests.data.builders import (
  official,
  official_deepfashion,
  official_nus_wide,
  own_folder,
)
from tests.small import SIZES


def write_deepfashion(root):
  rng = np.random.default_rng(0)
  values = official_deepfashion.attributes(rng, 40)
  splits = ["train"] * 24 + ["val"] * 8 + ["test"] * 8
  official_deepfashion.write(root, values, splits)
  return {"published_pairs": False, "num_attributes": 4}


def write_nus_wide(root):
  rng = np.random.default_rng(0)
  values = {
    split: official_nus_wide.labels(rng, size, 0.2)
    for split, size in (("train", 30), ("test", 12))
  }
  paths = official_nus_wide.write(root, values)
  paths = {
    split: [f"Flickr/{path}".replace("\\", "/") for path in found]
    for split, found in paths.items()
  }
  official_nus_wide.write_images(root, paths)
  return {"official_counts": False}


def write_coco(root):
  official.write_coco(root)
  return {"official_counts": False}


def write_coco_stuff(root):
  official.write_coco_stuff(root)
  return {"official_counts": False}


def write_folder(root):
  own_folder.draw(root)
  own_folder.write_csv(root)
  return {}


WRITERS = {
  "coco": write_coco,
  "coco_stuff": write_coco_stuff,
  "deepfashion": write_deepfashion,
  "nus_wide": write_nus_wide,
  "folder": write_folder,
}


def make_config(name, method, tmp_path, writer, own_networks=False):
  """The data set's own configuration, its networks and images made small."""
  config = importlib.import_module(f"configs.{name}").get_config(method)
  files = tmp_path / writer
  files.mkdir()
  options = WRITERS[writer](files)
  config.data.update(dir=str(tmp_path / "data"), manual_dir=str(files))
  config.data.options.update(options)
  config.data.preprocess_train = "decode|random_resized_crop(32)|flip_lr"
  config.data.preprocess_evaluate = "decode|resize(32)"
  if not own_networks:
    config.backbone = common.backbone("resnet", "scratch")
    config.backbone.update(depth=18, stage_sizes=(1, 1, 1), width=8)
    config.backbone.stem = "small"
    config.confounders.backbone = config.backbone.copy_and_resolve_references()
    config.confounders.early_layer = "stage1"
  config.side_inputs.glove = ""
  config.confounders.update(num=4, image_size=64, batch_size=8)
  for key, value in SIZES.items():
    if key in config.method:
      config.method[key] = value
  if "input_projection" in config.method:
    config.method.input_projection = True
  config.train.update(batch_size=8, epochs=2.0, log_every=1)
  config.evaluate.batch_size = 8
  return config


def make_transfer_config(method, tmp_path):
  """From COCO to NUS-WIDE."""
  config = make_config("coco_to_nus", method, tmp_path, "coco")
  files = tmp_path / "nus_wide"
  files.mkdir()
  options = write_nus_wide(files)
  config.transfer.update(dir=str(tmp_path / "data"), manual_dir=str(files))
  config.transfer.options.update(options)
  return config


def train(config, workdir):
  run.run(config.lock(), str(workdir), "train")
  rows = (workdir / "metrics.jsonl").read_text().splitlines()
  losses = [row["loss"] for row in map(json.loads, rows) if "loss" in row]
  assert len(losses) > 1
  assert np.isfinite(losses).all()
  return json.loads((workdir / "report" / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "method", "images", "labels"),
  [
    ("coco", "baseline", 11, 80),
    ("coco_stuff", "causal", 11, 171),
    ("coco_stuff", "feature_split", 11, 171),
    ("deepfashion", "q2l", 8, 4),
    ("nus_wide", "causal", None, 81),
    ("folder", "causal", 2, 3),
  ],
)
def test_from_the_files_to_a_report(name, method, images, labels, tmp_path):
  own = name == "folder"  # a network that is small as it is
  config = make_config(name, method, tmp_path, name, own_networks=own)
  report = train(config, tmp_path / "run")
  metrics = report["metrics"]["test"]
  assert images is None or metrics["images"] == images
  assert len(metrics["per_label"]) == labels
  assert 0 < metrics["all_map"] <= 100
  assert len(metrics["per_pair"]) == (20 if name == "coco_stuff" else 0)


@pytest.mark.slow
def test_from_coco_to_nus_wide_on_the_shared_labels(tmp_path):
  config = make_transfer_config("q2l", tmp_path)
  report = train(config, tmp_path / "run")
  assert set(report["metrics"]) == {"test", "nus_wide:test"}
  found = report["metrics"]["nus_wide:test"]
  assert len(found["per_label"]) == 13
  assert "airplane" in found["per_label"]
  assert len(report["metrics"]["test"]["per_label"]) == 80


def test_a_transfer_that_no_shared_labels_are_known_of(tmp_path):
  config = make_config("folder", "baseline", tmp_path, "folder")
  config.transfer.name = "context_emoji"
  with pytest.raises(UserError, match="folder to context_emoji"):
    run.run(config.lock(), str(tmp_path / "run"), "train")
  assert not (tmp_path / "run").exists()
