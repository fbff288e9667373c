"""Times the causal expectation against one confounder, and against vmap.

The head is that of the paper's COCO-Stuff setting: B=8 images, N=171 labels,
D=512, K=80 confounders, `post_norm`. Three programs run in one process: the
closed form at K=80, the closed form at K=1, and the definition by `jax.vmap` at
K=80; each as a forward pass and as a training step (loss, gradient, SGD update
of the head's parameters). Calls are interleaved, and medians are compared.

  python -m benchmarks.expectation

Prints one JSON line: `ratio_k80_to_k1` and `speedup_over_vmapped` for the
training step, the same with `_forward` for the forward pass, and `max_abs_err`
between the logits of the closed form and of the definition.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl import app, flags

from causal_mlr_jax.core.types import Array, Tree
from causal_mlr_jax.nn.causal.causal_head import CausalHead

BATCH, LABELS, DIM, CONFOUNDERS, HEADS = 8, 171, 512, 80, 4
_REPEATS = flags.DEFINE_integer("repeats", 15, "timed calls of fast programs")
_SLOW = flags.DEFINE_integer("slow_repeats", 3, "timed calls of the vmap")


def make_programs(
  expectation: str, num_confounders: int, key: Array
) -> dict[str, Callable[[], Tree]]:
  """Returns compiled programs without arguments: 'forward' and 'step'."""
  head = CausalHead(HEADS, 4 * DIM, "post_norm", expectation)
  keys = jax.random.split(key, 5)
  x_BND = jax.random.normal(keys[0], (BATCH, LABELS, DIM))
  query_ND = jax.random.normal(keys[1], (LABELS, DIM))
  confounder_KD = jax.random.normal(keys[2], (CONFOUNDERS, DIM))
  labels_BN = jax.random.bernoulli(keys[3], 0.1, (BATCH, LABELS))
  confounder_KD = confounder_KD[:num_confounders]
  weight_BK = jnp.full((1, num_confounders), 1 / num_confounders)
  params = head.init(keys[4], x_BND, query_ND, confounder_KD, weight_BK)

  @jax.jit
  def forward(params: Tree) -> Array:
    return head.apply(params, x_BND, query_ND, confounder_KD, weight_BK)

  def loss(params: Tree) -> Array:
    logits_BN = forward(params)
    losses = jax.nn.softplus(logits_BN) - labels_BN * logits_BN
    return losses.mean()

  @jax.jit
  def step(params: Tree) -> Tree:
    grads = jax.grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

  return {"forward": lambda: forward(params), "step": lambda: step(params)}


def median_seconds(
  programs: dict[str, Callable[[], Tree]], repeats: int
) -> dict[str, float]:
  """Returns the median time of each program, with interleaved calls."""
  for program in programs.values():
    jax.block_until_ready(program())
  times: dict[str, list[float]] = {name: [] for name in programs}
  for _ in range(repeats):
    for name, program in programs.items():
      start = time.perf_counter()
      jax.block_until_ready(program())
      times[name].append(time.perf_counter() - start)
  return {name: statistics.median(t) for name, t in times.items()}


def main(_: list[str]) -> None:
  """Runs the comparison and prints its JSON line."""
  key = jax.random.key(0)
  many = make_programs("closed_form", CONFOUNDERS, key)
  one = make_programs("closed_form", 1, key)
  vmapped = make_programs("vmapped", CONFOUNDERS, key)
  error = jnp.abs(many["forward"]() - vmapped["forward"]()).max()
  fast = median_seconds(
    {f"many_{k}": p for k, p in many.items()}
    | {f"one_{k}": p for k, p in one.items()},
    _REPEATS.value,
  )
  slow = median_seconds(vmapped, _SLOW.value)
  result = {
    "benchmark": "expectation",
    "device": jax.devices()[0].device_kind,
    "shape": {"B": BATCH, "N": LABELS, "D": DIM, "K": CONFOUNDERS},
    "ratio_k80_to_k1": fast["many_step"] / fast["one_step"],
    "ratio_k80_to_k1_forward": fast["many_forward"] / fast["one_forward"],
    "speedup_over_vmapped": slow["step"] / fast["many_step"],
    "speedup_over_vmapped_forward": slow["forward"] / fast["many_forward"],
    "max_abs_err": float(error),
    "step_seconds": fast["many_step"],
  }
  print(json.dumps(result))


if __name__ == "__main__":
  app.run(main)
