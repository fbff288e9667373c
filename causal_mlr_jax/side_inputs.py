"""Side inputs of a method, built once and kept with what they came from."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from causal_mlr_jax import backbones, first_stage, stages
from causal_mlr_jax.confounder_inputs import prepare as prepare_confounders
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import errors, files, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.core.types import Cooccurrence, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data import side_inputs as from_labels
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.training.model import training_needs
from causal_mlr_jax.training.prototypes import label_prototypes
from causal_mlr_jax.weights import initial, published
from causal_mlr_jax.workdir import as_json

COUNTS, EMBEDDINGS = "cooccurrence.npz", "label_embeddings.npz"


def prepare(context: Context, dataset: Dataset, mode: str) -> stages.SideInputs:
  """Makes what the method needs, unless it is in the workdir.

  Args:
    context: of the run.
    dataset: prepared.
    mode: of the program; 'evaluate' and 'import' train nothing.

  Raises:
    UserError: when evaluating, something that training makes is missing.
  """
  needs = training_needs(context.method)
  side: dict[str, Any] = {}
  train_extras: dict[str, pipeline.Extra] = {}
  evaluate_extras: dict[str, pipeline.Extra] = {}
  provenance: dict[str, Any] = {}
  if "confounders" in needs:
    built = prepare_confounders(context, dataset, mode)
    side["confounders"] = built.confounders
    share = built.context_share
    train_extras["context_share"] = lambda index, labels, rng: share[index]
    provenance["confounders"] = built.provenance["fingerprint"]
    provenance["confounders of"] = built.provenance["images"]
  if {"cooccurrence", "label_embeddings"} & set(needs):
    side |= _from_training_labels(context, dataset, needs, provenance)
  if "biased_pairs" in needs:
    side["biased_pairs"] = _pairs(context, dataset)
  if "label_state" in needs:
    part = context.config.method.known_labels
    train_extras["label_state"] = from_labels.random_label_state()
    evaluate_extras["label_state"] = from_labels.known_label_state(part)
    provenance["label_state"] = f"{part:g} of the labels known at test"
  initialise = _same
  if hasattr(context.method, "first_stage") and mode == "train":
    initialise = _from_first_stage(context, dataset, side, provenance)
  elif "label_prototypes" in needs:
    side["label_prototypes"] = _no_prototypes(context, dataset)
  side = parallel.replicate(side, context.mesh)
  return stages.SideInputs(
    side, train_extras, evaluate_extras, initialise, provenance
  )


def check_files(config: ml_collections.ConfigDict, method: ModuleType) -> None:
  """Checks that the files of the method's side inputs are there.

  Args:
    config: see `configs/common.py`.
    method: its module.

  Raises:
    UserError: names all that are missing.
  """
  needs, checks = training_needs(method), []
  if "confounders" in needs:
    section = config.confounders.backbone
    key = "confounders.backbone.pretrained"
    checks.append(lambda: initial.check_frozen(section, key))
  if "label_embeddings" in needs and config.side_inputs.glove:
    path = config.side_inputs.glove
    checks.append(lambda: from_labels.check_glove(path))
  errors.check_all(checks)


def _same(variables: Tree) -> Tree:
  return variables


def _pairs(context: Context, dataset: Dataset) -> np.ndarray:
  """Returns the data set's biased pairs, [R, 2]."""
  if not dataset.biased_pairs:
    raise UserError(
      f"The method {context.config.method.name!r} needs biased pairs, and the "
      f"data set {dataset.name!r} has none; choose another method or data set."
    )
  return np.asarray(dataset.biased_pairs, np.int32)


def _from_training_labels(
  context: Context,
  dataset: Dataset,
  needs: tuple[str, ...],
  provenance: dict[str, Any],
) -> dict[str, Any]:
  """Counts labels and makes embeddings, or reads what an earlier run made."""
  config, folder = context.config, context.workdir.side_inputs
  split = config.data.train_split
  key = fingerprint(
    data=dataset.fingerprint,
    split=split,
    options=as_json(config.side_inputs),
    needs=sorted(needs),
  )
  side: dict[str, Any] = {}
  path = folder / "provenance.json"

  def made() -> bool:
    return path.exists() and files.read_json(path)["fingerprint"] == key

  if not parallel.first_decides(made):
    with timed(context, "side inputs"), parallel.together():
      if jax.process_index() == 0:
        _write_from_labels(context, dataset, needs)
        files.write_json(path, {"fingerprint": key, "split": split})
  if "cooccurrence" in needs:
    arrays = files.read_arrays(folder / COUNTS)
    side["cooccurrence"] = Cooccurrence(**arrays)
  if "label_embeddings" in needs:
    found = files.read_arrays(folder / EMBEDDINGS)["embeddings"]
    side["label_embeddings"] = found
    provenance["label_embeddings"] = config.side_inputs.glove or (
      "positive pointwise mutual information of the training labels"
    )
  provenance["labels of"] = f"{split}, fingerprint {key}"
  return side


def _write_from_labels(
  context: Context, dataset: Dataset, needs: tuple[str, ...]
) -> None:
  """Writes the counts of the training labels and, if needed, embeddings."""
  folder = context.workdir.side_inputs
  labels = dataset.label_matrix(context.config.data.train_split)
  counted = from_labels.cooccurrence(labels)
  arrays = {}
  if "label_embeddings" in needs:
    arrays["embeddings"] = _embeddings(context, dataset, counted, len(labels))
  files.write_arrays(folder / EMBEDDINGS, **arrays)
  files.write_arrays(folder / COUNTS, **counted._asdict())


def _embeddings(
  context: Context, dataset: Dataset, counted: Cooccurrence, images: int
) -> np.ndarray:
  section = context.config.side_inputs
  if section.glove:
    return from_labels.embeddings_from_glove(section.glove, dataset.labels)
  return from_labels.embeddings_from_cooccurrence(
    counted, images, section.embedding_dim
  )


def _no_prototypes(context: Context, dataset: Dataset) -> np.ndarray:
  """Returns zeros [N, C]: a checkpoint that is read holds the true ones."""
  section = context.config.backbone
  backbone = backbones.make(section, None, jnp.float32)
  image = jnp.zeros((1, 64, 64, 3))
  features, _ = jax.eval_shape(
    lambda key: backbone.init_with_output(key, image, train=False),
    jax.random.key(0),
  )
  channels = features.pooled.shape[-1]
  return np.zeros((len(dataset.labels), channels), np.float32)


def _from_first_stage(
  context: Context,
  dataset: Dataset,
  side: dict[str, Any],
  provenance: dict[str, Any],
) -> Any:
  """Trains the first stage; adds what comes of it to `side`.

  Returns:
    A function that gives a model the first stage's values, where it has the
    same variables.
  """
  first = first_stage.prepare(context, dataset)
  needs = training_needs(context.method)
  provenance["first_stage"] = {
    "method": first.context.config.method.name,
    "step": first.step,
    "started_from": first.context.workdir.read_started_from(),
    "seconds": first.context.seconds,
  }
  if "reference" in needs:
    side["reference"] = first.variables
  if "label_prototypes" in needs:
    with timed(context, "label prototypes"):
      side["label_prototypes"] = _prototypes(context, dataset, first)

  context, parts = first.context, first.parts

  def initialise(variables: Tree) -> Tree:
    # Read again where they are needed, rather than kept in all of training.
    _, started = stages.best_variables(context, parts)
    return published.shared(variables, parallel.to_host(started))

  return initialise


def _prototypes(
  context: Context, dataset: Dataset, first: first_stage.FirstStage
) -> np.ndarray:
  """Returns the label prototypes [N, C], from the workdir if they are there."""
  config = context.config
  path = first.context.workdir.path / "label_prototypes.npz"

  def made() -> bool:
    return path.exists() and int(files.read_arrays(path)["step"]) == first.step

  if parallel.first_decides(made):
    return files.read_arrays(path)["prototypes"]
  split = config.data.train_split
  batches = pipeline.evaluation_batches(
    dataset,
    split,
    config.data.preprocess_evaluate,
    config.evaluate.batch_size,
  )
  prototypes = label_prototypes(
    first.parts.model,
    first.variables,
    batches,
    len(dataset.source(split)),
    context.mesh,
  )
  with parallel.together():
    if jax.process_index() == 0:
      step = np.int64(first.step)
      files.write_arrays(path, prototypes=prototypes, step=step)
  return prototypes
