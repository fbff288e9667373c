"""A table of effects over several runs as a picture: points with intervals."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES
from causal_mlr_jax.sweep import plots
from causal_mlr_jax.sweep.table_files_effects import name_of

PANEL_WIDTH, NAMES_WIDTH = 2.6, 2.0  # inches
PARTS = {
  "recovery": {key: title for title, key in COLUMNS.items()},
  "reliance": MEASURES,
}


def draw(found: Mapping[str, Any]) -> Figure:
  """Returns a figure: a panel a measure, its lines one below the other.

  Args:
    found: from `aggregate_effects.aggregate`, with at least one number.
  """
  parts = [part for part in PARTS if found[part] is not None]
  heights = [1.0 + plots.ROW_HEIGHT * len(found[part]) for part in parts]
  columns = max(len(PARTS[part]) for part in parts)
  size = (NAMES_WIDTH + PANEL_WIDTH * columns, sum(heights) + 0.5)
  figure = Figure(figsize=size, dpi=plots.DPI, layout="constrained")
  FigureCanvasAgg(figure)
  figure.suptitle(f"{found['title']}: 95% intervals over seeds")
  bands = figure.subfigures(len(parts), height_ratios=heights, squeeze=False)
  for part, band in zip(parts, bands[:, 0], strict=True):
    lines = found[part]
    names = [name_of(line) for line in lines]
    axes = band.subplots(1, len(PARTS[part]), sharey=True)
    for ax, (key, title) in zip(axes, PARTS[part].items(), strict=True):
      ax.set_title(title, fontsize=10)
      ax.grid(alpha=0.3)
      plots.down(ax, names, [line["cells"][key] for line in lines])
  return figure


def write(found: Mapping[str, Any], path: pathlib.Path) -> None:
  """Writes the picture as PNG; nothing while no number is known.

  Args:
    found: from `aggregate_effects.aggregate`.
    path: of the file.
  """
  cells = [
    cell
    for part in PARTS
    for line in found[part] or ()
    for cell in line["cells"].values()
  ]
  if any(cell["mean"] is not None for cell in cells):
    plots.save(lambda: draw(found), path)
