"""The results of an audit: its counts as CSV files, its pairs as a table."""

from __future__ import annotations

import csv
import io
import pathlib
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.label_statistics import cooccurrence


def write_counts(folder: pathlib.Path, dataset: Dataset) -> None:
  """Writes the numbers of images of each label and pair of labels as CSV."""
  matrices = {name: dataset.label_matrix(name) for name in dataset.sources}
  rows: list[list[str | int]] = [["label", *matrices]]
  for n, label in enumerate(dataset.labels):
    rows.append([label, *(int(m[:, n].sum()) for m in matrices.values())])
  _write_csv(folder / "labels.csv", rows)
  first = next(iter(matrices.values()))
  counts = cooccurrence(first).counts_NN.astype(int)
  rows = [["", *dataset.labels]]
  for label, row in zip(dataset.labels, counts.tolist(), strict=True):
    rows.append([label, *row])
  _write_csv(folder / "cooccurrence.csv", rows)


def _write_csv(path: pathlib.Path, rows: list[list[Any]]) -> None:
  text = io.StringIO()
  csv.writer(text).writerows(rows)
  with atomic_files.replacing(path) as file:
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
