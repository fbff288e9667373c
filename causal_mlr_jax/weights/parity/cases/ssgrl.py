"""SSGRL: attention guided by words, and the gated graph network."""

from __future__ import annotations

import jax.numpy as jnp

from causal_mlr_jax.core.types import Cooccurrence, Output, Side
from causal_mlr_jax.nn.heads.published_variant import PUBLISHED
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "ssgrl"
LOSS: dict[str, object] = {}
# A counter that nothing reads; and the gradients of two biases that softmax
# ignores, which are only rounding in the file and 0 here.
UNCHECKED = (
  r"train_state/.*\.num_batches_tracked"
  r"|(train_)?grad_loss_norm/word_semantic\.fc_(3|a)\.bias"
)


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  return {"variant": PUBLISHED, "steps": golden.args.get("time_step", 3)}


def side(golden: Golden) -> Side:
  """Returns the side inputs: counts whose conditionals are the file's graph."""
  graph_NN = jnp.asarray(golden.inputs["adjacency"])
  return {
    "cooccurrence": Cooccurrence(graph_NN, jnp.ones(len(graph_NN))),
    "label_embeddings": golden.inputs["word_embeddings"],
  }


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  aux = output.aux
  return {
    "logits": output.logits,
    "attention": aux["pooled_attention"],
    "semantic": aux["semantic"],
    "graph_out": aux["graph"],
  }
