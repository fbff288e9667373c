"""The table as a picture: means with 95% intervals."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.reports.summary import TITLES
from causal_mlr_jax.sweep.results import Results

# Inches, and dots an inch. Names of lines stand beside every panel of scores,
# and once beside all panels of effects.
PANEL_WIDTH, EFFECTS_WIDTH, NAMES_WIDTH = 3.6, 2.6, 2.0
PANEL_HEIGHT, LINE_HEIGHT, DPI = 3.0, 0.3, 110
OURS: dict[str, Any] = {
  "fmt": "o",
  "color": "tab:blue",
  "capsize": 3,
  "markersize": 5,
}
PAPER: dict[str, Any] = {
  "linestyle": "none",
  "marker": "D",
  "color": "tab:orange",
  "fillstyle": "none",
}


def draw(results: Results) -> Figure:
  """Returns a figure with a row of panels for each part of a table.

  Scores stand on a logarithmic axis if all rows have an `x`; other lines stand
  one below the other. Hollow diamonds are the paper's results.

  Args:
    results: with at least one part.
  """
  document, parts = results.document, results.parts
  x = [row.get("x") for row in document["rows"]]
  numeric = None not in x
  heights = [
    PANEL_HEIGHT if numeric else 1.0 + LINE_HEIGHT * len(part.lines)
    for part in parts
  ]
  columns = max(len(part.columns) for part in parts)
  width = PANEL_WIDTH * columns
  if results.of_effects:
    width = NAMES_WIDTH + EFFECTS_WIDTH * columns
  figure = Figure((width, sum(heights) + 0.5), DPI, layout="constrained")
  FigureCanvasAgg(figure)
  if results.of_effects:
    figure.suptitle(f"{document['title']}: 95% intervals over seeds")
    bands = figure.subfigures(len(parts), height_ratios=heights, squeeze=False)
    axes = [
      band.subplots(1, len(part.columns), sharey=True)
      for part, band in zip(parts, bands[:, 0], strict=True)
    ]
  else:
    figure.suptitle(
      f"{document['title']}: {TITLES[document['metric']]} in %, 95% intervals "
      "over seeds; hollow: the paper's"
    )
    axes = figure.subplots(len(parts), columns, squeeze=False)
  for part, panels in zip(parts, axes, strict=True):
    cells = results.cells[results.cells["part"] == part.name]
    split = "" if results.of_effects else f"{part.name}: "
    for ax, (metric, title) in zip(panels, part.columns.items(), strict=True):
      ax.set_title(f"{split}{title}", fontsize=10)
      ax.grid(alpha=0.3)
      shown = cells[cells["metric"] == metric]
      if numeric:
        _across(ax, shown.assign(x=x), document["x_label"])
      else:
        _down(ax, shown)
  return figure


def _across(ax: Axes, cells: pd.DataFrame, label: str) -> None:
  """Draws one panel with a logarithmic axis."""
  known = cells.dropna(subset="mean").fillna({"half_width": 0.0})
  paper = cells.dropna(subset="paper")
  ax.set_xscale("log")
  ax.errorbar(known["x"], known["mean"], yerr=known["half_width"], **OURS)
  ax.plot(paper["x"], paper["paper"], **PAPER)
  ticks = [f"{x:g}" for x in cells["x"]]
  ax.set_xticks(cells["x"], ticks, fontsize=7, rotation=90)
  ax.minorticks_off()
  ax.set_xlabel(label)


def _down(ax: Axes, cells: pd.DataFrame) -> None:
  """Draws one panel with the lines one below the other."""
  cells = cells.assign(y=range(len(cells)))
  known = cells.dropna(subset="mean").fillna({"half_width": 0.0})
  paper = cells.dropna(subset="paper")
  ax.errorbar(known["mean"], known["y"], xerr=known["half_width"], **OURS)
  ax.plot(paper["paper"], paper["y"], **PAPER)
  ax.set_yticks(cells["y"], cells["line"], fontsize=8)
  ax.set_ylim(len(cells) - 0.5, -0.5)  # the first line on top


def write(results: Results, path: pathlib.Path) -> None:
  """Writes the picture as PNG; nothing while no number is known."""
  if not results.cells["mean"].notna().any():
    return
  data = io.BytesIO()
  # Settings of the user's own would change the picture.
  with style.context("default"):
    draw(results).savefig(data, format="png")
  with atomic_files.replacing(path) as file:
    file.write(data.getvalue())
