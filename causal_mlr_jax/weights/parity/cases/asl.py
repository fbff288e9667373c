"""Asymmetric losses of Query2Label and CCD, in every setting of the files."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from causal_mlr_jax.training.criterion import make_criterion
from causal_mlr_jax.weights.parity.golden import Golden, Results
from causal_mlr_jax.weights.parity.heads import section

# The original's float32 results are not compared: it rounds 1 - sigmoid before
# the logarithm, so large logits come out wrong or clamped. Our float32 results
# are compared with its float64 results for the same inputs, `output64` and
# `grad64`.
UNCHECKED = r"(output|grad)/.*"
PLAIN = "AsymmetricLoss"


def run(golden: Golden) -> Results:
  """Returns the losses and their gradients by the file's keys."""
  logits = jnp.asarray(golden.inputs["logits"], jnp.float32)
  labels = jnp.asarray(golden.inputs["labels"], jnp.float32)
  found = {}
  for variant, (name, args) in golden.meta["variants"].items():
    config = ml_collections.ConfigDict(
      settings(name, args, golden.meta["case"])
    )
    criterion = make_criterion(config, *labels.shape)
    loss, grad = jax.value_and_grad(
      lambda x, criterion=criterion: criterion(x, labels).mean()
    )(logits)
    found[f"output64/{variant}/loss"] = np.asarray(loss)
    found[f"grad64/{variant}/logits"] = np.asarray(grad)
  return found


def settings(name: str, args: dict[str, Any], case: str) -> dict[str, Any]:
  """Returns the section `loss` that corresponds to a published class.

  Args:
    name: Name of the class.
    args: Arguments of its constructor.
    case: Case of the file; repositories have different classes of one name.
  """
  # Query2Label's first class is a plain sum, clamped on both sides.
  summed = name == PLAIN and case.endswith("query2labels")
  return section(
    name="asymmetric",
    reduction="sum" if summed else "mean",
    scale=1.0 if summed else 1000.0,
    gamma_positive=float(args["gamma_pos"]),
    gamma_negative=float(args["gamma_neg"]),
    clip=float(args["clip"] or 0),
    focusing_gradient=not args["disable_torch_grad_focal_loss"],
    eps=float(args["eps"]),
    clamp_above=summed,
  )
