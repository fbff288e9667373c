"""Each option of the configuration trains, end to end."""

import json

import numpy as np
import pytest
import safetensors.numpy

from causal_mlr_jax import run
from tests import small

OPTIONS = {
  "bfloat16": {"dtype": "bfloat16"},
  "posterior": {"method.adjustment": "posterior"},
  "linear": {"method.intervention": "linear"},
  "post_norm_ffn": {"method.intervention": "post_norm_ffn"},
  "pre_norm": {"method.intervention": "pre_norm"},
  "vmapped": {"method.expectation": "vmapped"},
  "own queries": {"method.queries": "own", "method.fusion": "causal"},
  "label prototypes": {"confounders.kind": "label"},
  "early": {"confounders.kind": "early", "confounders.prior": "uniform"},
  "random": {"confounders.kind": "random"},
  "learned": {"method.learn_confounders": True},
  "of the test images": {"confounders.data": "target"},
  "of all images, posterior": {
    "confounders.data": "both",
    "method.adjustment": "posterior",
  },
  "BEiT-3 for clustering": {
    "confounders.backbone.name": "beit3",
    "confounders.backbone.pretrained": "beit3.safetensors",
    "confounders.backbone.embed_dim": 64,
    "confounders.backbone.num_layers": 3,
    "confounders.backbone.num_heads": 4,
    "confounders.backbone.hidden": 256,
    "confounders.image_size": 96,
  },
  "BEiT-3": {
    "backbone.name": "beit3",
    "backbone.embed_dim": 32,
    "backbone.num_layers": 2,
    "backbone.num_heads": 2,
    "backbone.hidden": 64,
  },
  "asymmetric loss": {"loss.name": "asymmetric", "loss.gamma_negative": 4.0},
  "focal loss": {"loss.name": "focal", "loss.reduction": "batch_sum"},
  "SGD in steps": {
    "train.optimizer": "sgd",
    "train.learning_rate": 0.1,
    "train.schedule": "step",
    "train.step_at": (0.5, 0.8),
  },
  "Adam, momentum in a cycle": {
    "train.optimizer": "adam",
    "train.cycle_momentum": True,
  },
  "encoder and dropout": {
    "method.num_encoder_layers": 1,
    "method.num_decoder_layers": 2,
    "method.dropout": 0.1,
  },
  "frozen batch norm": {"backbone.frozen_batch_norm": True},
  "cosine, plain parameters": {
    "train.schedule": "cosine",
    "train.clip_norm": 0.0,
    "evaluate.use_ema": False,
    "data.preprocess_train": "decode|random_resized_crop(64)|flip_lr",
  },
  "ImageNet backbone": {
    "backbone.name": "efficientnet_lite",
    "backbone.pretrained": "efficientnet_lite0",
    "backbone.frozen_batch_norm": True,
    "train.learning_rate_rules": (("backbone/.*", 0.1), (".*", 1.0)),
  },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_the_option_trains(name, data_dir, tmp_path, golden, monkeypatch):
  monkeypatch.chdir(tmp_path)
  if name == "BEiT-3 for clustering":
    write_beit3(golden("beit3"))
  config = small.config("causal", data_dir, **OPTIONS[name])
  run.run(config, str(tmp_path / "run"), "train")
  rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  losses = [json.loads(row) for row in rows]
  losses = [row["loss"] for row in losses if "loss" in row]
  assert np.isfinite(losses).all()
  assert losses[-1] < losses[0]
  report = tmp_path / "run" / "report" / "report.json"
  report = json.loads(report.read_text())
  assert report["metrics"]["test"]["all_map"] > 0


def write_beit3(arrays):
  """Published names, here of random weights, for another size of images."""
  state = {
    key.removeprefix("state/"): value
    for key, value in arrays.items()
    if key.startswith("state/")
  }
  safetensors.numpy.save_file(state, "beit3.safetensors")
