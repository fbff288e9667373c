"""The audit: which labels of a data set lean on which others.

The procedure of Singh et al. 2020 (CVPR, section 3), for any data set: a plain
classifier is trained on 80 % of the training images and scores the rest. The
context of a label is the other label with which its scores are highest relative
to its scores without that label.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.core import atomic_files, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset, parse_split
from causal_mlr_jax.evaluation import biased_pairs, exclusive_cooccur
from causal_mlr_jax.stages import first_stage
from causal_mlr_jax.stages.experiment import Experiment, timed
from causal_mlr_jax.studies.audit import report
from causal_mlr_jax.training import predict

FOLDER = "audit"
# With fewer positives, an average precision is mostly noise.
FEW = 30


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the section `audit`.

  Raises:
    UserError: A number is outside its range.
  """
  section = config.audit
  if not 1 <= section.train_percent <= 99:
    raise UserError(
      f"audit.train_percent = {section.train_percent}: expected the percentage "
      "of the training images that the classifier is trained on, 1 to 99."
    )
  if not 0 < section.threshold <= 1 or section.num_pairs < 1:
    raise UserError(
      f"audit.threshold = {section.threshold}, audit.num_pairs = "
      f"{section.num_pairs}: expected a fraction above 0 and at most 1, and at "
      "least one pair."
    )


def config_of(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns the configuration of the plain classifier's training."""
  config = copy.deepcopy(config)
  with config.unlocked():
    config.method = ml_collections.ConfigDict(
      {"name": "baseline", "pooling": "gap"}
    )
    config.data.train_split = _parts(config)[0]
  return config


def _parts(config: ml_collections.ConfigDict) -> tuple[str, str]:
  """Returns the larger and the smaller part of the training split."""
  name = parse_split(config.data.train_split).name
  percent = config.audit.train_percent
  return f"{name}[:{percent}%]", f"{name}[{percent}%:]"


def run(experiment: Experiment, dataset: Dataset) -> None:
  """Trains the classifier, finds the pairs, and writes the results.

  The files are `pairs.json`, `labels.csv` and `cooccurrence.csv` in the
  workdir's folder `audit`.

  Raises:
    UserError: The folder holds the audit of another configuration.
    Preempted: The process was asked to stop; its state is saved.
  """
  config, folder = experiment.config, experiment.workdir.path / FOLDER
  larger, smaller = _parts(config)
  plain = first_stage.train_in(experiment, dataset, config_of(config), FOLDER)
  with timed(experiment, "audit"):
    scores, labels = _scores(plain, dataset, smaller)
    found = biased_pairs.contexts(
      scores,
      labels,
      dataset.label_matrix(larger),
      threshold=config.audit.threshold,
    )
    pairs = biased_pairs.strongest(found, config.audit.num_pairs)
    result = _result(config, dataset, pairs, found)
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      report.write_counts(folder, dataset)
      atomic_files.write_json(folder / "pairs.json", result)
  if jax.process_index() == 0:
    report.show(result)
    print(f"pairs: {folder / 'pairs.json'}; use them with --config.data.pairs")


def _scores(
  plain: first_stage.FirstStage, dataset: Dataset, split: str
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classifier's probabilities and the labels of a split."""
  config = plain.experiment.config
  step = predict.make_predict_step(
    plain.learner.model, plain.experiment.method, plain.experiment.mesh
  )
  return predict.predict_split(
    step,
    plain.variables,
    {},
    pipeline.evaluation_batches(
      dataset,
      split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
    ),
    len(dataset.source(split)),
    plain.experiment.mesh,
    f"scoring {split}",
  )


def _result(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  pairs: np.ndarray,
  found: biased_pairs.Contexts,
) -> dict[str, Any]:
  names = dataset.labels
  splits = (config.data.train_split, *config.data.test_splits)
  counts = {
    split: exclusive_cooccur.groups(dataset.label_matrix(split), pairs)
    for split in splits
  }
  rows = [
    {
      "label": names[b],
      "context": names[c],
      "bias": float(found.bias_N[b]),
      "images": {
        split: {
          "exclusive": int(group.exclusive[:, i].sum()),
          "cooccur": int(group.cooccur[:, i].sum()),
        }
        for split, group in counts.items()
      },
    }
    for i, (b, c) in enumerate(pairs)
  ]
  known = [(names[b], names[c]) for b, c in dataset.biased_pairs]
  return {
    "data": dataset.fingerprint,
    "settings": config.audit.to_dict(),
    "pairs": rows,
    "warnings": _warnings(rows, config.data.test_splits),
    **_agreement(rows, known),
  }


def _warnings(
  rows: Sequence[dict[str, Any]], splits: Iterable[str]
) -> list[str]:
  return [
    f"{row['label']} <- {row['context']}: {count} {kind} image(s) in {split}, "
    f"fewer than {FEW}; an average precision over them is noise to a large "
    "part."
    for row in rows
    for split in splits
    for kind, count in row["images"][split].items()
    if count < FEW
  ]


def _agreement(
  rows: Sequence[dict[str, Any]], known: Sequence[tuple[str, str]]
) -> dict[str, Any]:
  """Returns how well the pairs agree with those that the data set came with."""
  if not known:
    return {}
  pairs = {(row["label"], row["context"]) for row in rows}
  hits = len(pairs & set(known))
  return {
    "agreement": {
      "known": [list(pair) for pair in known],
      "precision": hits / max(len(pairs), 1),
      "recall": hits / len(known),
    }
  }
