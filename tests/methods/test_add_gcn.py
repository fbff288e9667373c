"""ADD-GCN: the order of labels and positions, and the mean of two scores."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.types import Features
from causal_mlr_jax.methods import add_gcn
from causal_mlr_jax.nn.heads.dynamic_graph import DynamicGraph, leaky_relu
from causal_mlr_jax.nn.heads.semantic_nodes import SemanticNodes, top_mean
from tests import devices

LABELS, DIM = 4, 6


def make(batch=4):
  head = add_gcn.Head(num_labels=LABELS, embed_dim=DIM)
  final = jax.random.normal(jax.random.key(0), (batch, 3, 2, 5))
  init = jax.jit(partial(head.init, train=False))
  variables = init(jax.random.key(1), features(final), {})
  return head, final, variables


def features(final):
  return Features({"final": final}, final.mean((1, 2)))


def test_positions_have_no_order():
  head, final, variables = make()
  turned = final.transpose(0, 2, 1, 3)[:, ::-1]
  want, got = (
    jax.jit(partial(head.apply, train=False))(variables, features(x), {})
    for x in (final, turned)
  )
  np.testing.assert_allclose(got.logits, want.logits, atol=1e-5)


def test_the_score_is_the_mean_of_both_classifiers():
  head, final, variables = make()
  output = head.apply(variables, features(final), {}, train=False)
  largest = output.aux["attention"].max(axis=-1)
  np.testing.assert_allclose(output.aux["logits_semantic"], largest, rtol=1e-6)
  mean = (largest + output.aux["logits_graph"]) / 2
  np.testing.assert_allclose(output.logits, mean, rtol=1e-5)


def test_nodes_are_sums_under_masks():
  module = SemanticNodes(LABELS, DIM)
  x_BPC = jax.random.normal(jax.random.key(0), (2, 7, 5))
  (cam, mask, nodes), variables = module.init_with_output(
    jax.random.key(1), x_BPC
  )
  params = variables["params"]
  x, kernel = np.asarray(x_BPC), np.asarray(params["classifier"]["kernel"])
  np.testing.assert_allclose(cam.swapaxes(1, 2), x @ kernel, atol=1e-5)
  np.testing.assert_allclose(mask, 1 / (1 + np.exp(-cam)), atol=1e-5)
  transform = params["transform"]
  values = x @ np.asarray(transform["kernel"]) + np.asarray(transform["bias"])
  np.testing.assert_allclose(nodes, mask @ values, atol=1e-5)


def test_top_mean_takes_the_largest_positions():
  cam = jnp.asarray([[[1.0, 5.0, 3.0], [-2.0, -1.0, -4.0]]])
  np.testing.assert_allclose(top_mean(cam, 2), [[4.0, -1.5]])


def test_a_row_of_the_graph_says_what_a_node_takes():
  """With logits of -100 for node 0 and 100 elsewhere, node 0 takes nothing."""
  module = DynamicGraph()
  nodes = jax.random.normal(jax.random.key(0), (2, LABELS, DIM))
  nodes = nodes.at[:, 0, 0].set(-100.0).at[:, 1:, 0].set(100.0)
  context = nodes.mean(axis=1)
  variables = module.init(jax.random.key(1), nodes, context, train=False)
  params = variables["params"]
  # The context stands first, so row DIM reads the nodes' first feature.
  adjacency = jax.tree.map(jnp.zeros_like, params["adjacency"])
  adjacency["kernel"] = adjacency["kernel"].at[DIM].set(1.0)
  out, graph = module.apply(
    variables | {"params": params | {"adjacency": adjacency}},
    nodes,
    context,
    train=False,
  )
  np.testing.assert_allclose(graph[:, 0], 0, atol=1e-6)
  np.testing.assert_allclose(graph[:, 1:], 1, atol=1e-6)
  bias = params["transform"]["bias"]
  np.testing.assert_allclose(out[0, 0], leaky_relu(bias), atol=1e-5)
  np.testing.assert_allclose(out[:, 1], out[:, 2], rtol=1e-5)


SYNCHRONISED = """
  from causal_mlr_jax.core import parallel
  from tests.methods import test_add_gcn as t

  head, final, variables = t.make()
  def apply(x):
    output, changed = head.apply(
      variables, t.features(x), {}, train=True, mutable=["batch_stats"]
    )
    return output.logits, changed["batch_stats"]["graph"]["context_norm"]

  specs = (parallel.SHARDED, parallel.REPLICATED)
  mapped = parallel.pmapped(
    apply, parallel.make_mesh(), (parallel.SHARDED,), specs
  )
  pairs = zip(jax.tree.leaves(apply(final)), jax.tree.leaves(mapped(final)))
  print(json.dumps([float(jnp.abs(a - np.asarray(b)).max()) for a, b in pairs]))
"""


def test_the_graph_is_normalised_over_all_devices():
  errors = devices.run_on_devices(SYNCHRONISED, 2)
  assert len(errors) == 3
  assert max(errors) < 1e-5
