"""The audit: which labels of a data set lean on which others.

The procedure of Singh et al. 2020 (CVPR, section 3) on any data set: a plain
classifier is trained on 80 % of the training images and scores the rest; a
label is biased towards the context with which its scores are highest
relative to those without.
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from causal_mlr_jax import first_stage
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import files, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset, parse_split
from causal_mlr_jax.data.side_inputs import cooccurrence
from causal_mlr_jax.evaluation import biased_pairs, exclusive_cooccur
from causal_mlr_jax.training import predict

FOLDER = "audit"
# Below it an average precision rests on so few positives that it is noise.
FEW = 30


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the section `audit`.

  Raises:
    UserError: a number outside its range.
  """
  section = config.audit
  if not 1 <= section.train_percent <= 99:
    raise UserError(
      f"audit.train_percent = {section.train_percent}: expected the part of "
      "the training images that the classifier sees, 1 to 99."
    )
  if not 0 < section.threshold <= 1 or section.num_pairs < 1:
    raise UserError(
      f"audit.threshold = {section.threshold}, audit.num_pairs = "
      f"{section.num_pairs}: expected a part above 0 and at most 1, and at "
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


def run(context: Context, dataset: Dataset) -> None:
  """Trains the classifier, finds the pairs, and writes what was found.

  In the workdir's `audit` folder: `pairs.json`, `labels.csv` and
  `cooccurrence.csv`.

  Raises:
    UserError: the folder holds the audit of another configuration.
    Preempted: the process was asked to stop; its state is saved.
  """
  config, folder = context.config, context.workdir.path / FOLDER
  larger, smaller = _parts(config)
  plain = first_stage.train_in(context, dataset, config_of(config), FOLDER)
  with timed(context, "audit"):
    scores, labels = _scores(plain, dataset, smaller)
    found = biased_pairs.contexts(
      scores,
      labels,
      dataset.label_matrix(larger),
      threshold=config.audit.threshold,
    )
    pairs = biased_pairs.strongest(found, config.audit.num_pairs)
    result = _result(config, dataset, pairs, found)
  with parallel.together():
    if jax.process_index() == 0:
      _write_counts(folder, dataset)
      files.write_json(folder / "pairs.json", result)
  if jax.process_index() == 0:
    show(result)
    print(f"pairs: {folder / 'pairs.json'}; use them with --config.data.pairs")


def _scores(
  plain: first_stage.FirstStage, dataset: Dataset, split: str
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classifier's probabilities and the labels of a split."""
  config = plain.context.config
  step = predict.make_predict_step(
    plain.model, plain.context.method, plain.context.mesh
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
    plain.context.mesh,
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
  """Returns how far the pairs are those that the data set came with."""
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


def _write_counts(folder: Any, dataset: Dataset) -> None:
  """Writes the images of each label, and of each two labels, as CSV."""
  matrices = {name: dataset.label_matrix(name) for name in dataset.sources}
  rows = [["label", *matrices]]
  for n, label in enumerate(dataset.labels):
    rows.append([label, *(int(m[:, n].sum()) for m in matrices.values())])
  _write_csv(folder / "labels.csv", rows)
  first = next(iter(matrices.values()))
  counts = cooccurrence(first).counts_NN.astype(int)
  rows = [["", *dataset.labels]]
  for label, row in zip(dataset.labels, counts.tolist(), strict=True):
    rows.append([label, *row])
  _write_csv(folder / "cooccurrence.csv", rows)


def _write_csv(path: Any, rows: list[list[Any]]) -> None:
  text = io.StringIO()
  csv.writer(text).writerows(rows)
  with files.replacing(path) as file:
    file.write(text.getvalue().encode())


def show(result: dict[str, Any]) -> None:
  """Prints the pairs as a table, and the warnings."""
  console = Console(highlight=False)
  table = Table(
    title="labels that lean on a context, strongest first",
    box=box.SIMPLE_HEAD,
    title_justify="left",
  )
  splits = list(result["pairs"][0]["images"]) if result["pairs"] else []
  for name in ("label", "context", "bias", *splits):
    table.add_column(
      name, justify="left" if name in "label context" else "right"
    )
  for row in result["pairs"]:
    counts = (
      f"{row['images'][split]['exclusive']} / {row['images'][split]['cooccur']}"
      for split in splits
    )
    table.add_row(row["label"], row["context"], f"{row['bias']:.2f}", *counts)
  console.print(table)
  console.print("images: exclusive / co-occurring")
  for warning in result["warnings"][:3]:
    console.print(warning)
  if len(result["warnings"]) > 3:
    console.print(
      f"{len(result['warnings']) - 3} more warning(s) in pairs.json"
    )
  if "agreement" in result:
    known = result["agreement"]
    console.print(
      f"of the data set's own pairs: precision {known['precision']:.2f}, "
      f"recall {known['recall']:.2f}"
    )
