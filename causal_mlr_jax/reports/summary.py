"""The table that is printed at the end of a run, from its report.json."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.evaluation.metrics import headline

COLUMNS = {"Exclusive": "exclusive", "Co-occur": "cooccur", "All": "all"}
TITLES = {"map": "mAP", "top3_recall": "top-3 recall"}
SHOWN_WARNINGS = 1


def show(path: pathlib.Path) -> None:
  """Prints the table, the warnings and the times of a report.

  Args:
    path: Path of a report.json.
  """
  report = atomic_files.read_json(path)
  console = Console(file=sys.stdout, highlight=False)
  console.print(table(report))
  for split, metrics in report["metrics"].items():
    warnings = metrics["warnings"]
    for warning in warnings[:SHOWN_WARNINGS]:
      console.print(f"{split}: {warning}")
    if len(warnings) > SHOWN_WARNINGS:
      more = len(warnings) - SHOWN_WARNINGS
      console.print(f"{split}: {more} more warning(s) in the report")
  seconds = report["seconds"]
  stages = ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items())
  console.print(f"report: {path}", soft_wrap=True)
  console.print(f"time: {sum(seconds.values()):.0f} s ({stages})")


def table(report: Mapping[str, Any]) -> Table:
  """Returns a table of the configured metric for each split, in percent."""
  config = report["config"]
  metric = config["evaluate"]["metric"]
  names = f"{config['method']['name']} on {config['data']['name']}"
  title = f"{names}, {TITLES[metric]} in %"
  shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
  shown.add_column("split")
  for name in COLUMNS:
    shown.add_column(name, justify="right")
  for split, metrics in report["metrics"].items():
    values = headline(metrics, metric)
    row = (values[key] for key in COLUMNS.values())
    shown.add_row(split, *("-" if v is None else f"{v:.1f}" for v in row))
  return shown
