"""Shares of all positions, where the centres are fitted to a sample."""

import json

import numpy as np
import pytest

from causal_mlr_jax.confounders import build, image_sets
from causal_mlr_jax.core.fingerprint import fingerprint
from tests import small
from tests.confounders.test_build import extract, run, run_of, section
from tests.confounders.test_image_sets import of

SAMPLED = 7  # of 64 positions, or of 256 of an early map
LAYERS = {"early": "stage1"}


def brute_force(features, centres):
  """Shares by the nearest centre of every position, in float64."""
  features = features[:, :, None].astype(np.float64)
  nearest = ((features - centres) ** 2).sum(-1).argmin(-1)
  return (nearest[..., None] == np.arange(len(centres))).mean(1)


@pytest.mark.parametrize(
  "kind", small.few(["kmeans", "early", "label", "random"], ["kmeans", "early"])
)
def test_shares_are_of_all_positions(kind, dataset, tmp_path):
  built = run(dataset, tmp_path, kind=kind, max_positions=96 * SAMPLED)
  maps = extract(dataset, 10**6, layer=LAYERS.get(kind, "final")).features
  want = brute_force(maps, built.confounders.centres_KC)
  np.testing.assert_allclose(built.context_share, want, atol=1e-6)
  counts = built.context_share * SAMPLED
  assert np.abs(counts - counts.round()).max() > 0.1


@pytest.mark.parametrize("data", small.few(image_sets.DATA, ["both"]))
def test_shares_are_of_all_positions_of_the_training_images(
  data, dataset, tmp_path
):
  # Of the 48 images tested on, all positions; of both, a sample.
  chosen = of(data, dataset, splits=("test[:48]",))
  built = run_of(chosen, tmp_path, max_positions=48 * 64)
  want = brute_force(
    extract(dataset, 10**6).features, built.confounders.centres_KC
  )
  np.testing.assert_allclose(built.context_share, want, atol=1e-6)


def test_prototypes_of_labels_are_of_all_positions(dataset, tmp_path):
  whole = run(dataset, tmp_path / "whole", kind="label")
  some = run(dataset, tmp_path / "some", kind="label", max_positions=96)
  for want, got in zip(whole.confounders, some.confounders, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(some.context_share, whole.context_share, atol=1e-5)


def test_what_was_sampled_is_said(dataset, tmp_path, capsys):
  def told(name, **overrides):
    run(dataset, tmp_path / name, **overrides)
    path = tmp_path / name / build.PROVENANCE
    found = json.loads(path.read_text())
    keys = "positions_per_image", "positions_of_map", "context_share_of"
    return [found[key] for key in keys], capsys.readouterr().err

  sample = {"max_positions": 96 * SAMPLED}
  found, said = told("some", **sample)
  assert found == [SAMPLED, 64, "all positions"]
  assert "fitted to 7 of 64 positions of each image" in said
  assert told("early", kind="early", **sample)[0][:2] == [SAMPLED, 256]
  for name, overrides in (("all", {}), ("label", {"kind": "label"} | sample)):
    found, said = told(name, **overrides)
    assert found == [64, 64, "all positions"]
    assert "positions of each image" not in said


def test_shares_of_a_sample_are_not_taken_from_an_old_cache(dataset):
  def as_before(config, chosen):
    left_out = ("prior", "batch_size", "data", "target_splits")
    old = {k: v for k, v in config.to_dict().items() if k not in left_out}
    return fingerprint(
      confounders=old,
      data=dataset.fingerprint,
      split="train",
      preprocess="decode",
      weights="w",
      **chosen.identity(),
    )

  def same(data, max_positions, **overrides):
    chosen = of(data, dataset, splits=("test[:48]",))
    config = section(max_positions=max_positions, **overrides)
    key = build.fingerprint_of(config, chosen, "w")
    return key == as_before(config, chosen)

  assert same("source", 96 * 64)
  assert not same("source", 96 * 64 - 1)
  assert not same("source", 96 * 64, kind="early")
  assert not same("source", 95, kind="label")
  # Old shares were of a sample where all training images had too many.
  assert same("target", 96 * 64)
  assert not same("target", 48 * 64)
  assert same("both", 144 * 64)
  assert not same("both", 96 * 64)
