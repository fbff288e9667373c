"""Confounders of the training images, of the images tested on, of both."""

import dataclasses

import numpy as np
import pytest

from causal_mlr_jax.confounders import build, image_sets
from causal_mlr_jax.confounders.image_sets import Images, Split
from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.preprocess import op_string
from tests import small
from tests.confounders.test_build import run_of, section


class Secret(dict):
  """A record whose labels must not be looked at."""

  def __getitem__(self, key):
    assert key != "labels", "the labels were read"
    return super().__getitem__(key)


class Secrets(list):
  """Records of such a kind."""

  def part(self, start, stop):
    assert not start
    assert not stop
    return self


def secret(dataset, split):
  """The split as another data set, its labels not to be looked at."""
  records = Secrets(Secret(record) for record in dataset.source(split))
  return dataclasses.replace(dataset, sources={split: records})


def of(data, dataset, target=None, splits=("test_shifted",)):
  target = dataset if target is None else target
  return Images(
    data,
    Split(dataset, "train"),
    tuple(Split(target, split) for split in splits),
    "decode",
  )


@pytest.fixture(scope="module")
def built(dataset, tmp_path_factory):
  """Confounders of each choice of images."""
  folder = tmp_path_factory.mktemp("built")
  return {
    data: run_of(of(data, dataset), folder / data) for data in image_sets.DATA
  }


def test_of_the_test_images_no_label_is_read(dataset, built, tmp_path):
  target = secret(dataset, "test_shifted")
  with pytest.raises(AssertionError, match="labels were read"):
    target.source("test_shifted")[0]["labels"]
  for data in ("target", "both"):
    closed = run_of(of(data, dataset, target), tmp_path / "closed")
    pairs = zip(built[data].confounders, closed.confounders, strict=True)
    for want, got in pairs:
      np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(
      closed.context_share, built[data].context_share
    )


def test_each_choice_has_centres_of_its_own(dataset, built):
  centres = [np.sort(x.confounders.centres_KC, 0) for x in built.values()]
  for i, one in enumerate(centres):
    for other in centres[:i]:
      assert np.abs(one - other).max() > 1e-3
  counts = {data: x.provenance["positions"] for data, x in built.items()}
  sizes = {s: len(dataset.source(s)) for s in ("train", "test_shifted")}
  assert counts["source"] == 64 * sizes["train"]
  assert counts["target"] == 64 * sizes["test_shifted"]
  assert counts["both"] == counts["source"] + counts["target"]


def test_a_target_equal_to_the_source_gives_its_confounders(
  dataset, built, tmp_path
):
  source = built["source"]
  target = run_of(of("target", dataset, splits=("train",)), tmp_path / "target")
  for want, got in zip(source.confounders, target.confounders, strict=True):
    np.testing.assert_array_equal(got, want)
  np.testing.assert_array_equal(target.context_share, source.context_share)


@pytest.mark.parametrize("data", small.few(image_sets.DATA, ["both"]))
@pytest.mark.parametrize("max_positions", [10**6, 5 * 96])
def test_shares_are_of_the_training_images(
  data, max_positions, dataset, tmp_path
):
  built = run_of(of(data, dataset), tmp_path, max_positions=max_positions)
  share = built.context_share
  assert share.shape == (len(dataset.source("train")), 5)
  np.testing.assert_allclose(share.sum(1), 1, atol=1e-5)
  # P(c) is of the positions clustered: not all, or of other images.
  same = np.allclose(share.mean(0), built.confounders.prior_K, atol=1e-5)
  assert same == (data == "source" and max_positions == 10**6)
  counts = share * 64  # all positions of a map, drawn or not
  np.testing.assert_allclose(counts, counts.round(), atol=1e-4)


def test_the_positions_of_both_are_those_of_the_parts(dataset):
  parts = image_sets.joined([Split(dataset, s) for s in ("train", "test[:50]")])
  found = list(pipeline.evaluation_batches(*parts, "decode", 48))
  index = np.concatenate([batch["index"] for batch in found])
  mask = np.concatenate([batch["mask"] for batch in found])
  np.testing.assert_array_equal(index[mask > 0], np.arange(96 + 50))
  assert {batch["labels"].shape for batch in found} == {(48, 0)}
  assert found[0]["index"].dtype == np.int32
  op, rng = op_string.parse("decode"), np.random.default_rng(0)
  want = op(dataset.source("test")[0]["image"], rng)
  np.testing.assert_array_equal(found[2]["image"][0], want)


def key(config, *args, **kwargs):
  return build.fingerprint_of(config, of(*args, **kwargs), "w")


def test_the_fingerprint_of_the_source_is_what_it_was(dataset):
  """Before there was a choice of images: caches stay valid."""
  config = section()
  old = config.to_dict()
  for name in ("prior", "batch_size", "data", "target_splits"):
    del old[name]
  want = fingerprint(
    confounders=old,
    data=dataset.fingerprint,
    split="train",
    preprocess="decode",
    weights="w",
  )
  assert key(config, "source", dataset) == want
  other = section(target_splits=("validation",))
  assert key(other, "source", dataset, splits=("test",)) == want


def test_the_fingerprint_follows_the_images(dataset):
  config = section()
  changed = dataclasses.replace(dataset, fingerprint="other")
  keys = [
    key(config, "source", dataset),
    key(config, "target", dataset),
    key(config, "both", dataset),
    key(config, "target", dataset, splits=("test",)),
    key(config, "target", dataset, splits=("test", "test_shifted")),
    key(config, "target", dataset, changed),
  ]
  assert len(set(keys)) == len(keys)


def test_what_is_clustered_is_said(dataset):
  name = dataset.name
  assert of("source", dataset).described() == f"{name}:train"
  assert of("both", dataset).described() == (
    f"{name}:train, {name}:test_shifted, without labels"
  )


def test_wrong_choices():
  mesh = parallel.make_mesh()
  build.check(section(data="both", target_splits=("test[:50%]",)), mesh)
  for data in ("target", "both"):
    with pytest.raises(UserError, match=r"needs labels.*'kmeans'"):
      build.check(section(kind="label", data=data), mesh)
  with pytest.raises(UserError, match=r"confounders.data 'targets'.*'target'"):
    build.check(section(data="targets"), mesh)
  with pytest.raises(UserError, match="name of a split"):
    build.check(section(target_splits=("test[",)), mesh)
