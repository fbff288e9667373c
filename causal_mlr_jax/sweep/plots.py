"""A table over several runs as a picture: points with 95% intervals."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.reports.summary import COLUMNS, TITLES

# Inches, and dots an inch.
PANEL_WIDTH, PANEL_HEIGHT, ROW_HEIGHT, DPI = 3.6, 3.0, 0.3, 110
OURS = {"fmt": "o", "color": "tab:blue", "capsize": 3, "markersize": 5}
PAPER = {"marker": "D", "color": "tab:orange", "fillstyle": "none"}


def draw(found: Mapping[str, Any]) -> Figure:
  """Returns a figure: a row of panels a split, a column a metric.

  Rows of the table stand on a logarithmic axis if all have an `x`, else one
  below the other. Hollow diamonds are the paper's numbers.

  Args:
    found: from `aggregate.aggregate`, with at least one split.
  """
  rows, splits = found["rows"], found["splits"]
  numeric = all(row["x"] is not None for row in rows)
  height = PANEL_HEIGHT if numeric else 1.0 + ROW_HEIGHT * len(rows)
  size = (PANEL_WIDTH * len(COLUMNS), height * len(splits) + 0.5)
  figure = Figure(figsize=size, dpi=DPI, layout="constrained")
  FigureCanvasAgg(figure)
  figure.suptitle(
    f"{found['title']}: {TITLES[found['metric']]} in %, 95% intervals over "
    "seeds; hollow: the paper's"
  )
  axes = figure.subplots(len(splits), len(COLUMNS), squeeze=False)
  for line, split in zip(axes, splits, strict=True):
    with_paper = split == found["paper_split"]
    for ax, (title, key) in zip(line, COLUMNS.items(), strict=True):
      ax.set_title(f"{split}: {title}", fontsize=10)
      ax.grid(alpha=0.3)
      cells = [row["splits"][split][key] for row in rows]
      paper = [row["paper"][key] if with_paper else None for row in rows]
      if numeric:
        positions = [row["x"] for row in rows]
        _across(ax, positions, cells, paper, found["x_label"])
      else:
        down(ax, [row["name"] for row in rows], cells, paper)
  return figure


def _across(
  ax: Axes,
  positions: Sequence[float],
  cells: Sequence[Mapping[str, Any]],
  paper: Sequence[float | None],
  label: str,
) -> None:
  """Draws one panel with a logarithmic axis."""
  x, means, halves = _points(positions, cells)
  ax.set_xscale("log")
  ax.errorbar(x, means, yerr=halves, **OURS)
  ax.plot(*_known(positions, paper), linestyle="none", **PAPER)
  ax.set_xticks(
    positions, [f"{p:g}" for p in positions], fontsize=7, rotation=90
  )
  ax.minorticks_off()
  ax.set_xlabel(label)


def down(
  ax: Axes,
  names: Sequence[str],
  cells: Sequence[Mapping[str, Any]],
  paper: Sequence[float | None] = (),
) -> None:
  """Draws one panel with a line a row.

  Args:
    ax: to draw in.
    names: of the rows.
    cells: with `mean` and `half_width`.
    paper: its numbers, None where unknown; none at all by default.
  """
  positions = list(range(len(names)))
  y, means, halves = _points(positions, cells)
  ax.errorbar(means, y, xerr=halves, **OURS)
  if paper:
    y, values = _known(positions, paper)
    ax.plot(values, y, linestyle="none", **PAPER)
  ax.set_yticks(positions, names, fontsize=8)
  ax.set_ylim(len(names) - 0.5, -0.5)  # the first row on top


def _points(
  positions: Sequence[float], cells: Sequence[Mapping[str, Any]]
) -> tuple[list[float], list[float], list[float]]:
  """Returns positions, means and half widths of the cells that have a mean."""
  found = [
    (p, cell["mean"], cell["half_width"] or 0.0)  # one seed has no interval
    for p, cell in zip(positions, cells, strict=True)
    if cell["mean"] is not None
  ]
  return tuple([point[i] for point in found] for i in range(3))


def _known(
  positions: Sequence[float], values: Sequence[float | None]
) -> tuple[list[float], list[float]]:
  pairs = zip(positions, values, strict=True)
  found = [(p, v) for p, v in pairs if v is not None]
  return [p for p, _ in found], [v for _, v in found]


def write(found: Mapping[str, Any], path: pathlib.Path) -> None:
  """Writes the picture as PNG; nothing while no run is done.

  Args:
    found: from `aggregate.aggregate`.
    path: of the file.
  """
  if found["splits"]:
    save(lambda: draw(found), path)


def save(make: Callable[[], Figure], path: pathlib.Path) -> None:
  """Makes a figure and writes it as PNG.

  Args:
    make: returns the figure.
    path: of the file.
  """
  data = io.BytesIO()
  # Settings of the user's own would change the picture.
  with style.context("default"):
    make().savefig(data, format="png")
  with atomic_files.replacing(path) as file:
    file.write(data.getvalue())
