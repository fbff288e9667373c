"""What the stages of a run share: its settings, and a method's side inputs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax.core.types import Method, Side, Tree
from causal_mlr_jax.data.pipeline import ExampleInput
from causal_mlr_jax.workdir import Workdir


class Experiment(NamedTuple):
  """The settings of one run, which every stage is given.

  Attributes:
    config: The whole configuration, locked.
    workdir: The run's folder.
    mesh: Mesh of all devices.
    method: The method's module.
    seconds: Wall time by stage, filled as the stages end.
    reuse_only: Whether anything that is missing is an error instead of being
      made: the run is trained, and is evaluated now.
  """

  config: ml_collections.ConfigDict
  workdir: Workdir
  mesh: Mesh
  method: Method
  seconds: dict[str, float]
  reuse_only: bool = False


class SideInputs(NamedTuple):
  """What a method is given besides the images.

  Attributes:
    shared: Inputs that are the same for all images, by name, replicated.
    training_examples: Inputs of each single training example, by name.
    evaluation_examples: Inputs of each single example at test, by name.
    initialise: Function from the model's initial variables to those that
      training starts from.
    provenance: What the inputs were made from, for the report.
  """

  shared: Side
  training_examples: Mapping[str, ExampleInput]
  evaluation_examples: Mapping[str, ExampleInput]
  initialise: Callable[[Tree], Tree]
  provenance: Mapping[str, Any]


@contextlib.contextmanager
def timed(experiment: Experiment, stage: str) -> Iterator[None]:
  """Adds the wall time of a stage to `experiment.seconds`."""
  start = time.monotonic()
  yield
  experiment.seconds[stage] = time.monotonic() - start
