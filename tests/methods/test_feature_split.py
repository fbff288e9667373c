"""Feature-split training: what is replaced, by what, and how it weighs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Cooccurrence, Features
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import baseline, feature_split
from tests import one_and_eight_devices

CHANNELS = 8
PAIRS = np.asarray([[0, 1], [2, 3]], np.int32)
# Image 1 has label 0 without label 1; the others are exclusive for no pair.
LABELS = np.asarray([[1, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 1]], np.float32)
COUNTED = Cooccurrence(
  np.asarray([[0, 64, 1, 1], [64, 0, 1, 1], [1, 1, 0, 2], [1, 1, 2, 0]]) * 1.0,
  np.asarray([65.0, 90, 8, 50]),
)
CORRECTED, PUBLISHED = "corrected", "published"


def side(labels=LABELS):
  return {
    "biased_pairs": PAIRS,
    "cooccurrence": COUNTED,
    "labels": jnp.asarray(labels),
  }


def features_of(final):
  return Features({"final": final}, final.mean((1, 2)))


class Run:
  """A head, its variables, and steps that keep what they change."""

  def __init__(self, seed=0, **fields):
    self.head = feature_split.Head(num_labels=4, **fields)
    self.final = jax.random.normal(jax.random.key(seed), (3, 2, 2, CHANNELS))
    self.variables = self.head.init(
      jax.random.key(1), features_of(self.final), {}, train=False
    )

  @property
  def context(self):
    return np.asarray(self.variables["constants"]["context_channels"], int)

  @property
  def classifier(self):
    params = self.variables["params"]["classifier"]
    return np.asarray(params["kernel"]), np.asarray(params["bias"])

  def step(self, final, labels=LABELS):
    output, changed = self.head.apply(
      self.variables,
      features_of(jnp.asarray(final)),
      side(labels),
      train=True,
      mutable=["running", "constants"],
    )
    self.variables = {**self.variables, **changed}
    return output


def test_halves():
  np.testing.assert_array_equal(Run().context, [4, 5, 6, 7])
  drawn = Run(split="random").context
  assert len(set(drawn)) == 4
  assert set(drawn) < set(range(CHANNELS))
  assert set(drawn) != {4, 5, 6, 7}


@pytest.mark.parametrize("split", feature_split.SPLITS)
def test_only_exclusive_entries_are_replaced(split):
  run = Run(split=split)
  output = run.step(run.final)
  pooled = np.asarray(run.final.mean((1, 2)))
  mean = pooled[[0, 2]][:, run.context].mean(0)
  np.testing.assert_allclose(output.aux["context_mean"], mean, rtol=1e-5)
  replaced = pooled[1].copy()
  replaced[run.context] = mean
  kernel, bias = run.classifier
  want = np.array(output.logits)
  np.testing.assert_allclose(want, pooled @ kernel + bias, rtol=1e-4)
  want[1, 0] = (replaced @ kernel + bias)[0]
  np.testing.assert_allclose(output.aux["logits_train"], want, rtol=1e-4)
  weight = np.ones((3, 4))
  weight[1, 0] = 8  # √(64 / 1)
  np.testing.assert_allclose(output.aux["entry_weight"], weight)


def test_the_published_complement_is_right_of_the_half_split_alone():
  half = [Run(variant=v) for v in (CORRECTED, PUBLISHED)]
  ours, theirs = (run.step(run.final).aux["logits_train"] for run in half)
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)

  both = [Run(split="random", variant=v) for v in (CORRECTED, PUBLISHED)]
  context = both[0].context
  np.testing.assert_array_equal(context, both[1].context)
  mirrored = CHANNELS - 1 - context
  ours, theirs = (run.step(run.final) for run in both)
  np.testing.assert_array_equal(ours.logits, theirs.logits)
  # In the published one, a channel and its mirror image are both in the
  # context, and count twice, or neither is, and both are left out.
  taken = np.isin(range(CHANNELS), context) * 1
  taken += np.isin(range(CHANNELS), mirrored)
  assert set(taken) == {0, 1, 2}
  replaced = np.array(both[0].final.mean((1, 2)))[1]
  replaced[context] = ours.aux["context_mean"]
  kernel, bias = both[0].classifier
  for output, factor in ((ours, 1), (theirs, taken)):
    want = ((replaced * factor) @ kernel + bias)[0]
    got = output.aux["logits_train"][1, 0]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    differ = output.aux["logits_train"] != output.logits
    np.testing.assert_array_equal(np.argwhere(differ), [[1, 0]])


@pytest.mark.parametrize("split", feature_split.SPLITS)
def test_no_gradient_reaches_the_context_of_a_replaced_entry(split):
  run = Run(split=split)

  def entry(final):
    output, _ = run.head.apply(
      run.variables,
      features_of(final),
      side(),
      train=True,
      mutable=["running"],
    )
    return output.aux["logits_train"][1, 0]

  grad = np.abs(jax.grad(entry)(run.final)).sum((1, 2))
  assert not grad[[0, 2]].any()
  assert not grad[1, run.context].any()
  others = np.setdiff1d(range(CHANNELS), run.context)
  assert grad[1, others].all()


def test_without_any_image_seen_nothing_is_replaced():
  run = Run()
  alone = np.tile(LABELS[1], (3, 1))
  output = run.step(run.final, alone)
  np.testing.assert_array_equal(output.aux["logits_train"], output.logits)
  assert (output.aux["entry_weight"] == 1).all()
  run.step(run.final)
  output = run.step(run.final, alone)
  assert (output.aux["entry_weight"][:, 0] == 8).all()
  assert (output.aux["logits_train"] != output.logits)[:, 0].all()


def test_weights():
  # √(64 / 1) above the least weight, √(2 / 6) below it.
  weights = feature_split.label_weights(COUNTED, jnp.asarray(PAIRS), 3.0)
  np.testing.assert_allclose(weights, [8, 1, 3, 1])
  # A label of two pairs takes the larger one; one that is never alone, any.
  pairs = jnp.asarray([[0, 2], [0, 1]])
  weights = feature_split.label_weights(COUNTED, pairs, 0.5)
  np.testing.assert_allclose(weights, [8, 1, 1, 1])
  never = COUNTED._replace(nums_N=np.asarray([64.0, 90, 8, 50]))
  assert jnp.isfinite(feature_split.label_weights(never, pairs, 3.0)).all()


@pytest.mark.parametrize("weighted", [True, False])
def test_loss_is_the_weighted_mean(weighted):
  run = Run(weighted=weighted)
  output = run.step(run.final)
  criterion, batch = binary_cross_entropy.loss, {"labels": jnp.asarray(LABELS)}
  each = np.array(criterion(output.aux["logits_train"], batch["labels"]))
  each[1, 0] *= 8 if weighted else 1
  loss, _ = feature_split.loss(output, batch, {}, criterion)
  np.testing.assert_allclose(loss, each.mean(), rtol=1e-5)


def test_at_test_it_is_the_baseline_and_goes_on_from_one():
  assert feature_split.first_stage({}) == ("baseline", {"pooling": "gap"})
  run, plain = Run(), baseline.Head(4)
  features = features_of(run.final)
  variables = plain.init(jax.random.key(7), features, {}, train=False)
  want = plain.apply(variables, features, {}, train=False)
  got = run.head.apply(variables, features, {}, train=False)
  np.testing.assert_array_equal(got.logits, want.logits)
  before = run.variables
  run.head.apply(before, features, {}, train=False, mutable=["running"])
  run.head.apply(before, features, side(), train=True)
  assert before["running"]["context_mean"]["counts"].sum() == 0


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("split", "halves", "method.split 'halves'.*Did you mean 'half'"),
    ("variant", "paper", "method.variant 'paper'.*published"),
    ("window", 0, "method.window = 0: expected"),
  ],
)
def test_wrong_options_are_named(field, value, message):
  with pytest.raises(UserError, match=message):
    feature_split.Head(4, **{field: value})


@pytest.mark.slow  # `causal` stands for all in the fast suite
def test_one_device_and_eight_train_alike():
  result = one_and_eight_devices.run("feature_split", **{"method.window": 2})
  assert result["moved"] > 1e-4
  assert result["apart"] < 1e-5
  assert result["same_types"]
  for one, eight in zip(result["one"], result["eight"], strict=True):
    assert one == pytest.approx(eight, rel=1e-4)
  running = result["running"]["head"]["context_mean"]
  assert running["cursor"] == 1  # three batches in a window of two
  assert 0 < running["counts"][0] == running["counts"][1] < 16
