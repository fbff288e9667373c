"""The report of a run: report.json, model card, page, and the last table."""

from __future__ import annotations

import importlib.metadata
import platform

import jax

from causal_mlr_jax.core import atomic_files, parallel
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.reports import summary
from causal_mlr_jax.stages import evaluation, transfer
from causal_mlr_jax.stages.experiment import Experiment, SideInputs
from causal_mlr_jax.stages.report import card, run_page
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.workdir import as_json

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")


def report(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
  target: Dataset | None,
) -> None:
  """Scores the best checkpoint, writes the report, and shows it.

  Args:
    experiment: Settings of the run.
    dataset: The data set that was trained on.
    side_inputs: Side inputs of the method.
    learner: The model and the shapes of its state.
    target: Another data set to test on, None for none.
  """
  found = evaluation.evaluate(experiment, dataset, side_inputs, learner)
  metrics = found.metrics
  if target is not None:
    metrics |= transfer.evaluate(
      experiment, dataset, side_inputs, learner, target
    )
  config, workdir = experiment.config, experiment.workdir
  result = {
    "metrics": metrics,
    "seconds": experiment.seconds,
    "config": as_json(config),
    "seed": config.seed,
    "step": found.step,
    "steps": learner.plan.total,
    "data": dataset.fingerprint,
    "started_from": workdir.read_started_from(),
    "side_inputs": side_inputs.provenance,
    "versions": versions(),
  }
  path = workdir.report / "report.json"
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      atomic_files.write_json(path, result)
      card.write(workdir)
  if config.evaluate.page:
    run_page.write(experiment, dataset, side_inputs, learner, found.first)
  if jax.process_index() == 0:
    summary.show(path)


def versions() -> dict[str, str]:
  """Returns the versions of the packages, of Python, and the devices."""
  found = {name: importlib.metadata.version(name) for name in PACKAGES}
  device = jax.devices()[0]
  return found | {
    "python": platform.python_version(),
    "device": f"{jax.device_count()} x {device.device_kind}",
  }
