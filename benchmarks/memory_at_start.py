"""Measures the peak memory of a run that starts, and of one that resumes.

The model is Query2Label on a ResNet-50 (`configs/context_emoji.py:q2l` with the
sizes of the paper), on random images of 64 pixels in batches of 8, so that the
state is larger than the activations. Two processes of the real program run one
after the other in one workdir: the first starts and is asked to stop after one
step, the second resumes and is asked to stop after another. Peaks are those of
the whole process.

  python -m benchmarks.memory_at_start

Prints one JSON line: the bytes of the state; for `start` and `resume` the peak
memory of the host and of the device (null if the backend does not count it),
and both as multiples of the state. On a CPU the host's peak includes the
device's memory, and also compilation, which is the same in both.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile

import jax
from absl import app, flags

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import Preempted
from causal_mlr_jax.training import loop
from causal_mlr_jax.training.metrics_writer import Writer
from configs import context_emoji, registry

_WORKDIR = flags.DEFINE_string("workdir", "", "workdir; set by the script")
PHASES = ("start", "resume")


def part(workdir: str) -> None:
  """Runs the program for one step and prints the memory it used."""
  config = context_emoji.get_config("q2l")
  config.method.update(registry.METHODS["q2l"])
  config.backbone.update(registry.BACKBONES["resnet"])
  config.backbone.pretrained = "scratch"
  config.data.update(variant="small", dir=f"{workdir}/data")
  config.train.update(batch_size=8, log_every=1)
  sizes, fit = [], loop.fit

  def measured(step_fn: object, state: object, *args: object) -> object:
    sizes.append(sum(x.nbytes for x in jax.tree.leaves(state)))
    return fit(step_fn, state, *args)

  def stop(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)

  loop.fit, Writer.write = measured, stop
  with contextlib.suppress(Preempted):
    run.run(config.lock(), f"{workdir}/run", "train")
  stats = jax.devices()[0].memory_stats() or {}
  found = {
    "state": sizes[0],
    "host_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "device_peak": stats.get("peak_bytes_in_use"),
  }
  print(json.dumps(found))


def measure(workdir: str) -> dict[str, object]:
  """Runs a part in its own process and returns its results."""
  command = [sys.executable, "-m", "benchmarks.memory_at_start"]
  done = subprocess.run(
    [*command, f"--workdir={workdir}"], capture_output=True, check=True
  )
  return json.loads(done.stdout.splitlines()[-1])


def main(_: list[str]) -> None:
  """Runs both parts and prints the JSON line."""
  if _WORKDIR.value:
    part(_WORKDIR.value)
    return
  with tempfile.TemporaryDirectory() as folder:
    found = {phase: measure(folder) for phase in PHASES}
  state = found["start"]["state"]
  result = {
    "benchmark": "memory_at_start",
    "device": jax.devices()[0].device_kind,
    "state_bytes": state,
  }
  for phase in PHASES:
    for place in ("host_peak", "device_peak"):
      peak = found[phase][place]
      result[f"{phase}_{place}_bytes"] = peak
      result[f"{phase}_{place}_to_state"] = peak and peak / state
  print(json.dumps(result))


if __name__ == "__main__":
  app.run(main)
