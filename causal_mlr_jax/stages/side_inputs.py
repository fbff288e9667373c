"""A method's side inputs: built once, and kept with a note of their origin."""

from __future__ import annotations

from typing import Any

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.core import atomic_files, errors, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.core.types import Cooccurrence, Method, Tree
from causal_mlr_jax.data import known_labels, label_statistics, pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.formats import glove
from causal_mlr_jax.data.pipeline import ExampleInput
from causal_mlr_jax.stages import first_stage
from causal_mlr_jax.stages.confounders import prepare as prepare_confounders
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.training.label_prototypes import (
  label_prototypes,
  no_prototypes,
)
from causal_mlr_jax.training.model import training_needs
from causal_mlr_jax.weights import backbone_weights
from causal_mlr_jax.weights.mapping import published_methods
from causal_mlr_jax.workdir import as_json


def prepare(
  experiment: Experiment, dataset: Dataset, may_train: bool = False
) -> SideInputs:
  """Returns the method's side inputs, and makes those the workdir lacks.

  Args:
    experiment: Settings of the run.
    dataset: The prepared data set.
    may_train: Whether a method's first stage may be trained if it is missing.

  Raises:
    UserError: Something is missing and may not be made now.
  """
  needs = training_needs(experiment.method)
  shared: dict[str, Any] = {}
  training_examples: dict[str, ExampleInput] = {}
  evaluation_examples: dict[str, ExampleInput] = {}
  provenance: dict[str, Any] = {}
  if "confounders" in needs:
    built = prepare_confounders(experiment, dataset)
    shared["confounders"] = built.confounders
    share = built.context_share
    training_examples["context_share"] = lambda index, labels, rng: share[index]
    provenance["confounders"] = built.provenance["fingerprint"]
    provenance["confounders of"] = built.provenance["images"]
  if {"cooccurrence", "label_embeddings"} & set(needs):
    shared |= _from_training_labels(experiment, dataset, needs, provenance)
  if "biased_pairs" in needs:
    shared["biased_pairs"] = _pairs(experiment, dataset)
  if "label_state" in needs:
    part = experiment.config.method.known_labels
    training_examples["label_state"] = known_labels.random_label_state()
    evaluation_examples["label_state"] = known_labels.known_label_state(part)
    provenance["label_state"] = f"{part:g} of the labels known at test"
  initialise = _same
  if hasattr(experiment.method, "first_stage") and may_train:
    initialise = _from_first_stage(experiment, dataset, shared, provenance)
  elif "label_prototypes" in needs:
    section = experiment.config.backbone
    shared["label_prototypes"] = no_prototypes(section, len(dataset.labels))
  shared = parallel.replicate(shared, experiment.mesh)
  return SideInputs(
    shared, training_examples, evaluation_examples, initialise, provenance
  )


def check_files(config: ml_collections.ConfigDict, method: Method) -> None:
  """Checks that the files which the method's side inputs need exist.

  Args:
    config: The configuration, see `configs/common.py`.
    method: The method's module.

  Raises:
    UserError: Some are missing; the message names all of them.
  """
  needs, checks = training_needs(method), []
  if "confounders" in needs:
    section = config.confounders.backbone
    key = "confounders.backbone.pretrained"
    checks.append(lambda: backbone_weights.check_frozen(section, key))
  if "label_embeddings" in needs and config.side_inputs.glove:
    path = config.side_inputs.glove
    checks.append(lambda: glove.check(path))
  errors.check_all(checks)


def _same(variables: Tree) -> Tree:
  return variables


def _pairs(experiment: Experiment, dataset: Dataset) -> np.ndarray:
  """Returns the data set's biased pairs, [R, 2]."""
  if not dataset.biased_pairs:
    raise UserError(
      f"The method {experiment.config.method.name!r} needs biased pairs, and "
      f"the data set {dataset.name!r} has none; choose another method or data "
      "set."
    )
  return np.asarray(dataset.biased_pairs, np.int32)


def _from_training_labels(
  experiment: Experiment,
  dataset: Dataset,
  needs: tuple[str, ...],
  provenance: dict[str, Any],
) -> dict[str, Any]:
  """Returns label counts and embeddings, from the workdir if it has them."""
  config, folder = experiment.config, experiment.workdir
  split = config.data.train_split
  key = fingerprint(
    data=dataset.fingerprint,
    split=split,
    options=as_json(config.side_inputs),
    needs=sorted(needs),
  )
  side: dict[str, Any] = {}
  path = folder.side_inputs / "provenance.json"

  def made() -> bool:
    return path.exists() and atomic_files.read_json(path)["fingerprint"] == key

  if not parallel.decided_by_first(made):
    with timed(experiment, "side inputs"), parallel.wait_for_all():
      if jax.process_index() == 0:
        _write_from_labels(experiment, dataset, needs)
        atomic_files.write_json(path, {"fingerprint": key, "split": split})
  if "cooccurrence" in needs:
    arrays = atomic_files.read_arrays(folder.cooccurrence)
    side["cooccurrence"] = Cooccurrence(**arrays)
  if "label_embeddings" in needs:
    found = atomic_files.read_arrays(folder.label_embeddings)["embeddings"]
    side["label_embeddings"] = found
    provenance["label_embeddings"] = config.side_inputs.glove or (
      "positive pointwise mutual information of the training labels"
    )
  provenance["labels of"] = f"{split}, fingerprint {key}"
  return side


def _write_from_labels(
  experiment: Experiment, dataset: Dataset, needs: tuple[str, ...]
) -> None:
  """Writes the counts of the training labels and, if needed, embeddings."""
  folder = experiment.workdir
  labels = dataset.label_matrix(experiment.config.data.train_split)
  counted = label_statistics.cooccurrence(labels)
  arrays = {}
  if "label_embeddings" in needs:
    arrays["embeddings"] = _embeddings(
      experiment, dataset, counted, len(labels)
    )
  atomic_files.write_arrays(folder.label_embeddings, **arrays)
  atomic_files.write_arrays(folder.cooccurrence, **counted._asdict())


def _embeddings(
  experiment: Experiment, dataset: Dataset, counted: Cooccurrence, images: int
) -> np.ndarray:
  section = experiment.config.side_inputs
  if section.glove:
    return glove.label_vectors(section.glove, dataset.labels)
  return label_statistics.embeddings_from_cooccurrence(
    counted, images, section.embedding_dim
  )


def _from_first_stage(
  experiment: Experiment,
  dataset: Dataset,
  shared: dict[str, Any],
  provenance: dict[str, Any],
) -> Any:
  """Trains the first stage, and adds to `shared` what the method takes of it.

  Returns:
    A function that gives a model's variables the values of the first stage,
    where it has the same ones.
  """
  first = first_stage.prepare(experiment, dataset)
  needs = training_needs(experiment.method)
  provenance["first_stage"] = {
    "method": first.experiment.config.method.name,
    "step": first.step,
    "started_from": first.experiment.workdir.read_started_from(),
    "seconds": first.experiment.seconds,
  }
  if "reference" in needs:
    shared["reference"] = first.variables
  if "label_prototypes" in needs:
    with timed(experiment, "label prototypes"):
      shared["label_prototypes"] = _prototypes(experiment, dataset, first)

  def initialise(variables: Tree) -> Tree:
    # Read again when needed, so that they do not take memory in training.
    _, started = best_variables(first.experiment, first.learner)
    return published_methods.with_shared_values(
      variables, parallel.to_host(started)
    )

  return initialise


def _prototypes(
  experiment: Experiment, dataset: Dataset, first: first_stage.FirstStage
) -> np.ndarray:
  """Returns the label prototypes [N, C], from the workdir if it has them."""
  config = experiment.config
  path = first.experiment.workdir.path / "label_prototypes.npz"

  def made() -> bool:
    return (
      path.exists()
      and int(atomic_files.read_arrays(path)["step"]) == first.step
    )

  if parallel.decided_by_first(made):
    return atomic_files.read_arrays(path)["prototypes"]
  split = config.data.train_split
  batches = pipeline.evaluation_batches(
    dataset,
    split,
    config.data.preprocess_evaluate,
    config.evaluate.batch_size,
  )
  prototypes = label_prototypes(
    first.learner.model,
    first.variables,
    batches,
    len(dataset.source(split)),
    experiment.mesh,
  )
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      step = np.asarray(first.step, np.int64)
      atomic_files.write_arrays(path, prototypes=prototypes, step=step)
  return prototypes
