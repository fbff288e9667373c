"""The model of a run: what trains it, where it starts, and its best state."""

from __future__ import annotations

from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.training import learner as learner_lib
from causal_mlr_jax.training import predict, step
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.weights import backbone_weights, init_from, started_from


def make_learner(
  experiment: Experiment, dataset: Dataset, side_inputs: SideInputs
) -> Learner:
  """Returns the model, the shapes of its state, the optimiser and the plan."""
  with timed(experiment, "model"):
    return learner_lib.make_learner(
      experiment.config,
      dataset,
      side_inputs.shared,
      side_inputs.evaluation_examples,
    )


def initial_state(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> step.TrainState:
  """Returns the state that training starts from, and records its origin."""
  config = experiment.config

  def initialise(variables: Tree) -> Tree:
    if started_from.reads_pretrained(config):
      variables = backbone_weights.with_pretrained_backbone(
        config.backbone, variables
      )
    return init_from.initialise(
      config, side_inputs.initialise(variables), dataset.labels, learner.side
    )

  state = learner_lib.initial_state(learner, initialise, experiment.mesh)
  first = side_inputs.provenance.get("first_stage")
  found = started_from.describe(config, len(dataset.labels), first is not None)
  more = {} if first is None else {"first_stage": first["started_from"]}
  experiment.workdir.save_parameters(state.params, found | more)
  return state


def best_variables(
  experiment: Experiment, learner: Learner
) -> tuple[int, Tree]:
  """Returns the best checkpoint's step and variables."""
  fields = predict.evaluation_fields(experiment.config.evaluate.use_ema)
  target = {field: getattr(learner.shapes, field) for field in fields}
  checkpoints = Checkpoints(experiment.workdir.checkpoints)
  best = checkpoints.best_step
  assert best is not None  # a run that was trained has one
  found = checkpoints.restore_fields(best, target, experiment.mesh)
  params, rest = (found[field] for field in fields)
  return best, {"params": params, **rest}
