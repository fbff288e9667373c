"""C-Tran: what known labels say, and which labels are asked for."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Features, Output
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import c_tran
from causal_mlr_jax.training.criterion import make_criterion
from tests import heads

LABELS, DIM, POSITIONS = 5, 8, 9
STATE = np.asarray([[-1, 0, 1, -1, 1], [0, -1, -1, 1, -1]], np.int32)
UNKNOWN = np.full_like(STATE, -1)
TARGETS = jnp.asarray([[1, 0, 1, 0, 1], [0, 1, 0, 1, 1]], jnp.float32)


def features_of(seed=0):
  final = jax.random.normal(jax.random.key(seed), (2, 3, 3, DIM))
  return Features({"final": final}, final.mean((1, 2)))


def make(**fields):
  head = c_tran.Head(
    LABELS, embed_dim=DIM, num_heads=2, hidden=12, num_layers=2, **fields
  )
  side = {"label_state": STATE}
  return head, heads.init(head, jax.random.key(1), features_of(), side)


def run(head, variables, state=STATE, features=None):
  features = features_of() if features is None else features
  side = {"label_state": state}
  return heads.apply(head, variables, features, side)


def without_state(variables):
  params = dict(variables["params"])
  del params["state_embedding"]
  return {"params": params}


def test_an_unknown_label_is_its_embedding_alone():
  head, variables = make()
  plain, _ = make(use_state=False)
  want = run(plain, without_state(variables)).logits
  found = run(head, variables, UNKNOWN).logits
  np.testing.assert_allclose(found, want, atol=1e-6)
  assert jnp.abs(run(head, variables).logits - want).max() > 1e-3


def test_published_adds_a_constant_to_unknown_labels():
  corrected, variables = make()
  published, theirs = make(variant="published")
  table = variables["params"]["state_embedding"]
  assert table.shape == (2, DIM)
  assert theirs["params"]["state_embedding"].shape == (3, DIM)

  def logits(row, state):
    joined = jnp.concatenate([row, table])
    params = variables["params"] | {"state_embedding": joined}
    return run(published, {"params": params}, state).logits

  zero, constant = jnp.zeros((1, DIM)), jnp.full((1, DIM), 0.3)
  for state in (STATE, UNKNOWN):
    want = run(corrected, variables, state).logits
    np.testing.assert_allclose(logits(zero, state), want, atol=1e-6)
    # Even distances are lost in LayerNorm, so another direction.
    row = constant.at[0, :3].set(-1)
    assert jnp.abs(logits(row, state) - want).max() > 1e-3


@pytest.mark.parametrize(
  ("variant", "learns"),
  [("corrected", [True, True]), ("published", [False, True, True])],
)
def test_which_states_learn(variant, learns):
  head, variables = make(variant=variant)
  grad = jax.grad(lambda v: jnp.square(run(head, v).logits).sum())(variables)
  found = jnp.abs(grad["params"]["state_embedding"]).max(1) > 0
  np.testing.assert_array_equal(found, learns)


def test_positions_have_no_order():
  head, variables = make()
  final = features_of().maps["final"].reshape(2, POSITIONS, DIM)
  order = np.random.default_rng(0).permutation(POSITIONS)
  shuffled = final[:, order].reshape(2, 3, 3, DIM)
  want = run(head, variables)
  found = run(head, variables, STATE, Features({"final": shuffled}, final))
  np.testing.assert_allclose(found.logits, want.logits, atol=1e-5)
  np.testing.assert_allclose(
    found.aux["attention"], want.aux["attention"][..., order], atol=1e-5
  )


def test_attention_is_over_positions_and_labels():
  head, variables = make()
  aux = run(head, variables).aux
  weights = aux["encoder_1"]
  assert weights.shape == (2, POSITIONS + LABELS, POSITIONS + LABELS)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
  np.testing.assert_array_equal(
    aux["attention"], weights[:, POSITIONS:, :POSITIONS]
  )


def loss_of(logits, labels, state, criterion=binary_cross_entropy.loss):
  side, batch = {"label_state": state}, {"labels": labels}
  return c_tran.loss(Output(logits, {}), batch, side, criterion)[0]


def test_known_labels_are_not_asked_for():
  logits = jax.random.normal(jax.random.key(0), TARGETS.shape)
  value = loss_of(logits, TARGETS, STATE)
  flipped = jnp.where(STATE < 0, TARGETS, 1 - TARGETS)
  assert loss_of(logits, flipped, STATE) == value
  assert loss_of(logits, 1 - flipped, STATE) != value
  assert loss_of(logits, TARGETS, np.maximum(STATE, 0)) == 0
  grad = jax.grad(loss_of)(logits, TARGETS, STATE)
  np.testing.assert_array_equal(np.asarray(grad) == 0, STATE >= 0)


def test_reduction_sum_is_the_published_sum():
  logits = jax.random.normal(jax.random.key(0), TARGETS.shape)
  section = {"name": "binary_cross_entropy", "reduction": "sum", "scale": 1.0}
  criterion = make_criterion(ml_collections.ConfigDict(section), *TARGETS.shape)
  probability = jax.nn.sigmoid(logits)
  chosen = jnp.where(TARGETS > 0, probability, 1 - probability)
  want = -jnp.log(chosen)[STATE < 0].sum()
  found = loss_of(logits, TARGETS, STATE, criterion)
  np.testing.assert_allclose(found, want, rtol=1e-5)


def test_width_that_is_not_the_maps():
  head = c_tran.Head(LABELS, embed_dim=16)
  side = {"label_state": STATE}
  with pytest.raises(UserError, match=r"embed_dim = 16 .* 8 channels"):
    head.init(jax.random.key(1), features_of(), side, train=False)
  with pytest.raises(UserError, match=r"method\.variant 'old'.*published"):
    c_tran.Head(LABELS, variant="old")
