"""IDA: the light and heavy forms, and both copies of the published code."""

from __future__ import annotations

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "ida"
LOSS = {"reduction": "batch_sum"}
# A counter that nothing reads; and the gradient of the keys' bias, which is
# only rounding: the bias adds a constant to a row's logits, which softmax
# ignores.
UNCHECKED = (
  r"train_state/.*\.num_batches_tracked"
  r"|(train_)?grad_loss_norm/.*\.k_proj\.bias"
)
SECOND_COPY = "lib_new_attention"


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  return {
    "beta": golden.args.get("beta", 1 / 32),
    "head_norm": "last" if SECOND_COPY in golden.meta["cls"] else "own",
    "variant": "published",
  }


def side(golden: Golden) -> Side:
  """Returns the side inputs: none."""
  del golden
  return {}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  return {
    "logits": output.logits,
    "tokens": output.aux["tokens"],
    "att_out": output.aux["mixed_tokens"],
  }
