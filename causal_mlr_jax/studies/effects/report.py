"""The report of effects between labels: a figure and tables."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from causal_mlr_jax.core import atomic_files

# Title of each effect matrix, by its name in the files.
TITLES = {
  "training_labels": "training labels",
  "scores": "scores",
  "causal_head": "causal head",
  "known_labels": "known labels",
}
COLUMNS = {
  "AUROC": "auroc",
  "AP": "ap",
  "AUROC*": "spurious_auroc",
  "AP*": "spurious_ap",
  "direction": "direction",
  "rank": "spearman",
}
CAPTION = (
  "edges against pairs without effect; *: against only the biased pairs;\n"
  "direction: edges above their reverse; rank: correlation with the truth"
)
MEASURES = {
  "scene_drop": "score lost over a foreign scene",
  "companion_drop": "score lost without companion",
  "home_false_positive_rate": "seen at home, not there",
  "elsewhere_false_positive_rate": "seen elsewhere, not there",
}
# Inches, dots per inch, and the largest number of labels with legible names.
CELL, MARGIN, LARGEST, DPI, NAMED = 0.16, 1.6, 16.0, 110, 100
SHOWN_PAIRS = 5


def draw(
  matrices: Mapping[str, np.ndarray],
  labels: Sequence[str],
  edges: Sequence[tuple[int, int]] = (),
) -> Figure:
  """Returns a figure with one panel per matrix: causes in rows, effects across.

  The panels share one colour scale, red where a label raises another. True
  causal edges are circled; the diagonal and NaN entries are blank.

  Args:
    matrices: Matrices [N, N] by key of `TITLES`.
    labels: Names of the N labels.
    edges: Label indices (cause, effect) of the true causal edges.
  """
  side = min(MARGIN + CELL * len(labels), LARGEST)
  size = (side * len(matrices) + 0.8, side + 0.4)
  figure = Figure(figsize=size, dpi=DPI, layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots(1, len(matrices), squeeze=False)[0]
  shown = {}
  for name, matrix in matrices.items():
    shown[name] = np.array(matrix, np.float64)
    np.fill_diagonal(shown[name], np.nan)
  limit = _limit(list(shown.values()))
  image = None
  for ax, (name, matrix) in zip(axes, shown.items(), strict=True):
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(TITLES[name], fontsize=10)
    if edges:
      causes, effects = np.transpose(edges)
      ax.scatter(effects, causes, s=60, facecolors="none", edgecolors="black")
    ticks = range(len(labels)) if len(labels) <= NAMED else []
    names = [labels[n] for n in ticks]
    ax.set_xticks(ticks, names, fontsize=6, rotation=90)
    ax.set_yticks(ticks, names, fontsize=6)
    ax.set_xlabel("effect")
    ax.set_ylabel("cause")
  assert image is not None  # there is a matrix
  figure.colorbar(image, ax=axes, shrink=0.7)
  return figure


def _limit(matrices: Sequence[np.ndarray]) -> float:
  """Returns the effect at the end of the colour scale; few are larger."""
  sizes = np.abs(np.concatenate([m.ravel() for m in matrices]))
  known = sizes[np.isfinite(sizes)]
  return max(float(np.quantile(known, 0.99)) if known.size else 0.0, 1e-3)


def write(
  matrices: Mapping[str, np.ndarray],
  labels: Sequence[str],
  edges: Sequence[tuple[int, int]],
  path: pathlib.Path,
) -> None:
  """Writes the figure as PNG.

  Args:
    matrices: See `draw`.
    labels: See `draw`.
    edges: See `draw`.
    path: Path of the file.
  """
  data = io.BytesIO()
  # The user's own settings would change the figure.
  with style.context("default"):
    draw(matrices, labels, edges).savefig(data, format="png")
  with atomic_files.replacing(path) as file:
    file.write(data.getvalue())


def show(result: Mapping[str, Any]) -> None:
  """Prints the tables of an effects.json."""
  console = Console(highlight=False)
  sources = result["sources"]
  if all("recovery" in source for source in sources.values()):
    console.print(_recovery_table(sources))
    console.print(CAPTION)
  else:
    console.print(
      "the data set's causal model is not known, so there is nothing to compare"
    )
  for name, source in sources.items():
    pairs = ", ".join(
      f"{row['cause']} -> {row['effect']} {row['by']:+.2f}"
      for row in source["strongest"][:SHOWN_PAIRS]
    )
    console.print(f"strongest by {TITLES[name]}: {pairs}")
  if result["reliance"] is not None:
    console.print(_reliance_table(result["reliance"]))


def _table(title: str, columns: Sequence[str]) -> Table:
  table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
  for i, name in enumerate(columns):
    table.add_column(name, justify="right" if i else "left")
  return table


def _recovery_table(sources: Mapping[str, Any]) -> Table:
  table = _table(
    "which correlations are causal",
    ["effects from", *COLUMNS],
  )
  for name, source in sources.items():
    values = (source["recovery"][key] for key in COLUMNS.values())
    table.add_row(TITLES[name], *map(_shown, values))
  return table


def _reliance_table(reliance: Mapping[str, Any]) -> Table:
  table = _table(
    f"how scores lean on context, {reliance['images']:,} images",
    ["", "mean", "largest"],
  )
  for key, title in MEASURES.items():
    each = {
      name: row["value"]
      for name, row in reliance[key]["each"].items()
      if row["value"] is not None
    }
    largest = max(each, key=lambda name: each[name], default=None)
    where = "-" if largest is None else f"{largest} {each[largest]:.3f}"
    table.add_row(title, _shown(reliance[key]["mean"]), where)
  return table


def _shown(value: float | None) -> str:
  return "-" if value is None else f"{value:.3f}"
