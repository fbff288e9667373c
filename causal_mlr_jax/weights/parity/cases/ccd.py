"""CCD: both stages and every fusion."""

from __future__ import annotations

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "ccd"
LOSS = {
  "name": "asymmetric",
  "gamma_positive": 1.0,
  "gamma_negative": 1.0,
  "focusing_gradient": False,
  "eps": 1e-5,
  "scale": 1000.0,
}
# A counter that nothing reads.
UNCHECKED = r"train_state/.*\.num_batches_tracked"


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  args = golden.args
  return {
    "num_heads": args.get("num_head", 4),
    "tau": args.get("tau", 32.0),
    "beta": args.get("beta", 1 / 32),
    "stage": 2 if args.get("stagetwo", True) else 1,
  }


def side(golden: Golden) -> Side:
  """Returns the memory, which has the shape of the prototypes."""
  return {"label_prototypes": golden.state["clf.memory"]}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  names = ("context_logits", "fused_feature")
  found = {name: output.aux[name] for name in names if name in output.aux}
  return {"logits": output.logits} | found
