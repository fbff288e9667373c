"""TDRG: over which axis it attends, what guides it, and its old names."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Features
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import tdrg
from causal_mlr_jax.weights.mapping import published_methods
from causal_mlr_jax.weights.mapping.methods import tdrg as layout
from tests import heads

LABELS, BATCH = 4, 3
SMALL = {"embed_dim": 8, "num_heads": 2, "hidden": 12, "num_layers": 1}


def make(**fields):
  return tdrg.Head(num_labels=LABELS, **(SMALL | fields))


def make_features(grid=(5, 4), batch=BATCH):
  keys = jax.random.split(jax.random.key(0), 2)
  final = jax.random.normal(keys[0], (batch, *grid, 6))
  middle = jax.random.normal(keys[1], (batch, 2 * grid[0], 2 * grid[1], 5))
  maps = {"stage2": middle, "stage3": middle, "final": final}
  return Features(maps, final.mean((1, 2)))


def image(features, i):
  maps = {name: x[i : i + 1] for name, x in features.maps.items()}
  return Features(maps, features.pooled[i : i + 1])


def init(head, features):
  return heads.init(head, jax.random.key(1), features, {})


def apply(head, variables, features):
  return heads.apply(head, variables, features, {})


def test_only_published_predictions_depend_on_the_batch():
  features = make_features()
  variables = init(make(), features)
  for variant, alone in (("corrected", True), ("published", False)):
    head = make(variant=variant)
    together = apply(head, variables, features).logits
    single = apply(head, variables, image(features, 1)).logits
    difference = jnp.abs(together[1:2] - single).max()
    assert (difference < 1e-5) == alone


def test_neither_variant_knows_where_a_position_lies():
  features = make_features(grid=(5, 5))
  turned = Features(
    {k: x[:, ::-1] for k, x in features.maps.items()}, features.pooled
  )
  variables = init(make(), features)
  # The window of the smallest map alone tells up from down.
  small = variables["params"]["project_small"]
  small["kernel"] = (small["kernel"] + small["kernel"][::-1]) / 2
  for variant in ("corrected", "published"):
    head = make(variant=variant)
    want = apply(head, variables, features).logits
    got = apply(head, variables, turned).logits
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_encoder_learns_nothing_from_the_graph():
  head, features = make(), make_features()
  variables = init(head, features)
  rest = {k: v for k, v in variables.items() if k != "params"}

  def total(params):
    output = head.apply({"params": params, **rest}, features, {}, train=False)
    return output.aux["logits_graph"].sum()

  grads = jax.jit(jax.grad(total))(variables["params"])
  for name, grad in grads.items():
    largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(grad))
    guided = name in ("nodes", "guidance", "graph", "classifier")
    assert (largest > 0) == guided, name


@pytest.mark.parametrize(("side", "count"), [(3, 1), (7, 2)])
def test_the_third_classifier_takes_five_percent(side, count):
  head, features = make(), make_features((side, side), batch=1)
  aux = apply(head, init(head, features), features).aux
  largest = np.sort(aux["attention"], axis=-1)[..., -count:]
  np.testing.assert_allclose(
    aux["logits_semantic"], largest.mean(-1), rtol=1e-5
  )


def test_score_and_loss_are_weighted_as_published():
  head, features = make(), make_features()
  output = apply(head, init(head, features), features)
  aux = output.aux
  want = 0.7 * aux["logits_transformer"] + 0.3 * aux["logits_graph"]
  np.testing.assert_allclose(output.logits, want, rtol=1e-5)
  labels = jnp.eye(BATCH, LABELS)
  total, parts = tdrg.loss(
    output, {"labels": labels}, {}, binary_cross_entropy.loss
  )
  assert set(parts) == {"score", "trans", "gcn", "sac"}
  sac = binary_cross_entropy.loss(aux["logits_semantic"], labels).mean()
  np.testing.assert_allclose(parts["sac"], sac, rtol=1e-6)
  np.testing.assert_allclose(total, sum(parts.values()), rtol=1e-6)


def test_wrong_maps_and_variants_are_named():
  features = make_features()
  with pytest.raises(UserError, match=r"'stage9'.*final, stage2, stage3"):
    init(make(middle_stage="stage9"), features)
  with pytest.raises(UserError, match="at least 3 x 3, and got 2 x 4"):
    init(make(), make_features((2, 4)))
  with pytest.raises(UserError, match=r"method.variant 'paper'"):
    make(variant="paper")


# Older name, and the name that the released code gives.
OLD_NAMES = {
  r"layer1\.(?=[014]\.)": "features.",
  r"trans_classifier\.": "classifier.",
  r"guidance_transform\.": "conv_position.",
  r"constraint_classifier\.": "fc.",
  "gcn_dim_transform": "conv_transform",
  "guidance_conv": "gcn.conv_global",
  "guidance_bn": "gcn.bn_global",
  "matrix_transform": "gcn.conv_create_co_mat",
  r"forward_gcn\.weight": "gcn.dynamic_weight",
  "gcn_classifier": "last_linear",
}


def old_name(key):
  for new, old in OLD_NAMES.items():
    if re.match(new, key):
      return re.sub(f"^{new}", old, key)
  return key


def test_the_older_checkpoint_gives_the_same_variables(golden):
  state = {
    key.removeprefix("state/"): value
    for key, value in golden("tdrg").items()
    if key.startswith("state/")
  }
  old = {old_name(key): value for key, value in state.items()}
  assert len(old) == len(state)
  assert len(set(old) - set(state)) == 20
  # What the older checkpoint has beside.
  extra = ("bottleneck.0.weight", "classifier_global.bias", "bn_position.bias")
  old |= dict.fromkeys((*extra, "gcn.static_adj.0.weight"), np.zeros(2))
  assert layout.fields(old) == layout.fields(state)
  head = tdrg.Head(**layout.fields(state))
  features = Features(
    {"stage3": jnp.zeros((1, 4, 4, 32)), "final": jnp.zeros((1, 4, 4, 64))},
    jnp.zeros((1, 64)),
  )
  target = jax.eval_shape(
    lambda: head.init(jax.random.key(0), features, {}, train=False)
  )
  target = {k: {"head": v} for k, v in target.items()}
  want, got = (
    published_methods.convert_head("tdrg", arrays, target)
    for arrays in (state, old)
  )
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
  ("key", "name"),
  [
    ("layer1.0.weight", "conv1.weight"),
    ("features.1.running_var", "bn1.running_var"),
    ("layer1.4.0.conv2.weight", "layer1.0.conv2.weight"),
    ("features.4.2.bn3.bias", "layer1.2.bn3.bias"),
    ("layer3.22.conv1.weight", "layer3.22.conv1.weight"),
    ("backbone.2.0.conv1.weight", None),
    ("gcn_classifier.weight", None),
  ],
)
def test_backbone_keys(key, name):
  assert layout.backbone_key(key) == name
