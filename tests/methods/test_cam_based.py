"""CAM-based training: its two terms, and one device like eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.types import Features, Output
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import baseline, cam_based
from tests import one_and_eight_devices

PAIRS = jnp.asarray([[0, 1], [3, 2]])
WEIGHTS = (0.1, 0.01)


def output_of(cam_BNP):
  aux = {"attention": jnp.asarray(cam_BNP), "loss_weights": WEIGHTS}
  return Output(jnp.zeros(cam_BNP.shape[:2]), aux)


def terms(cam, reference, labels):
  side = {"biased_pairs": PAIRS, "reference": output_of(reference)}
  batch = {"labels": jnp.asarray(labels, jnp.float32)}
  return cam_based.terms(output_of(cam), batch, side)


@pytest.fixture
def cams(rng):
  return rng.normal(size=(2, 2, 4, 9)).astype(np.float32)


LABELS = [[1, 1, 0, 1], [1, 1, 1, 1]]  # 3 times both labels of a pair


def test_terms_are_means_over_images_and_pairs_with_both_labels(cams):
  def scaled(x):
    return (x - x.min()) / (x.max() - x.min())

  overlaps, distances = [], []
  for image, b, c in ((0, 0, 1), (1, 0, 1), (1, 3, 2)):
    ours = np.stack([scaled(cams[0][image, n]) for n in (b, c)])
    theirs = np.stack([scaled(cams[1][image, n]) for n in (b, c)])
    overlaps.append((ours[0] * ours[1]).mean())
    distances.append(np.abs(ours - theirs).mean())
  overlap, distance = terms(*cams, LABELS)
  np.testing.assert_allclose(overlap, np.mean(overlaps), rtol=1e-5)
  np.testing.assert_allclose(distance, np.mean(distances), rtol=1e-5)


def test_only_the_shape_of_a_map_counts(cams):
  moved = cams[0] * np.linspace(0.5, 3, 4)[None, :, None] + 7
  np.testing.assert_allclose(
    terms(moved, cams[1], LABELS), terms(*cams, LABELS), rtol=1e-4
  )


def test_at_the_start_nothing_is_apart_from_the_reference(cams):
  overlap, distance = terms(cams[0], cams[0], LABELS)
  assert distance == 0
  assert overlap > 0


def gradient(cam, labels):
  def total(cam):
    overlap, distance = terms(cam, jnp.ones_like(cam), labels)
    return overlap + distance

  return jax.value_and_grad(total)(jnp.asarray(cam))


def test_a_batch_without_a_pair_adds_nothing(cams):
  value, grad = gradient(cams[0], np.eye(2, 4))
  assert value == 0
  assert not grad.any()


def test_a_constant_map_adds_nothing(cams):
  value, grad = gradient(np.full_like(cams[0], 2.5), LABELS)
  assert value == 0
  assert not grad.any()
  value, grad = gradient(cams[0], LABELS)
  assert value > 0
  assert jnp.isfinite(grad).all()
  assert grad.any()


def test_it_goes_on_from_a_baseline(rng):
  assert cam_based.first_stage({}) == ("baseline", {"pooling": "gap"})
  final = jnp.asarray(rng.normal(size=(2, 3, 3, 8)), jnp.float32)
  features = Features({"final": final}, final.mean((1, 2)))
  plain, head = baseline.Head(4), cam_based.Head(4)
  variables = plain.init(jax.random.key(0), features, {}, train=False)
  want = plain.apply(variables, features, {}, train=False)
  got = head.apply(variables, features, {}, train=False)
  np.testing.assert_array_equal(got.logits, want.logits)
  # And its loss there, without a pair, is the baseline's.
  side = {"biased_pairs": PAIRS, "reference": want}
  batch = {"labels": jnp.eye(2, 4)}
  criterion = binary_cross_entropy.loss
  loss, parts = cam_based.loss(got, batch, side, criterion)
  assert loss == baseline.loss(want, batch, {}, criterion)[0]
  assert set(parts) == {"logits", "overlap", "reference"}


@pytest.mark.slow  # `causal` stands for all in the fast suite
def test_one_device_and_eight_train_alike():
  # Weights of the size of the criterion's, so that an error in them shows.
  result = one_and_eight_devices.run(
    "cam_based", **{"method.overlap_weight": 1, "method.reference_weight": 1}
  )
  assert 0 in result["together"]
  assert max(result["together"]) > 0
  assert result["moved"] > 1e-4
  assert result["apart"] < 1e-5
  for one, eight in zip(result["one"], result["eight"], strict=True):
    assert one == pytest.approx(eight, rel=1e-4)
    assert one["loss_overlap"] > 0
    assert one["loss_reference"] > 0
