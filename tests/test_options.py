"""Each option of the configuration trains, end to end."""

import json

import numpy as np
import pytest

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
    "backbone": {
      "name": "efficientnet_lite",
      "pretrained": "efficientnet_lite0",
      "variant": "lite0",
      "frozen_batch_norm": True,
    },
    "train.learning_rate_rules": (("backbone/.*", 0.1), (".*", 1.0)),
  },
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("data")
  small.dataset(path)
  return path


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_the_option_trains(name, data_dir, tmp_path):
  overrides = dict(OPTIONS[name])
  backbone = overrides.pop("backbone", None)
  config = small.config("causal", data_dir, **overrides)
  if backbone is not None:
    with config.unlocked():
      config.backbone = backbone
  run.run(config, str(tmp_path), "train")
  rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
  losses = [json.loads(row) for row in rows]
  losses = [row["loss"] for row in losses if "loss" in row]
  assert np.isfinite(losses).all()
  assert losses[-1] < losses[0]
  report = json.loads((tmp_path / "report" / "report.json").read_text())
  assert report["metrics"]["test"]["all_map"] > 0
