"""What was found about which label raises which: a picture and a table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from causal_mlr_jax.reports.page import curves

# What each matrix is, by its name in effects.npz.
TITLES = {
  "training_labels": "Frequencies of the training labels",
  "scores": "The model's scores",
  "causal_head": "Interventions on the causal head",
  "known_labels": "Interventions on known labels",
  "truth": "The truth",
}
# The best of these is what the model found.
FOUND = ("causal_head", "known_labels", "scores")
PLAIN, TRUTH = "training_labels", "truth"
STRONGEST, DRAWN = 20, 14
# True effects below this are rounding.
SAME = 1e-6
# Inches; the largest number of labels with names, and letters of a name.
CELL, MARGIN, LARGEST, NAMED, LETTERS = 0.15, 1.4, 12.0, 80, 18
RADIUS, MIDDLE = 150, (310, 215)


class Node(NamedTuple):
  """A label in the picture: its name, its place, and where its name begins."""

  name: str
  x: float
  y: float
  anchor: str


class Arrow(NamedTuple):
  """An effect in the picture, from one place to another.

  Attributes:
    line: x and y of both ends.
    width: Width of the line.
    kind: 'true', 'false' or 'unknown'.
  """

  line: tuple[float, float, float, float]
  width: float
  kind: str


def section(
  matrices: Mapping[str, np.ndarray], effects: Mapping[str, Any] | None
) -> dict[str, Any] | None:
  """Returns what the page shows of the effects; None if none were measured.

  Args:
    matrices: Arrays of effects.npz.
    effects: effects.json.
  """
  if effects is None:
    return None
  labels = [str(name) for name in matrices["labels"]]
  found: str = next(name for name in FOUND if name in matrices)
  rows = _rows(matrices, found)
  nodes, arrows = _picture(labels, rows)
  return {
    "split": effects["split"],
    "found": TITLES[found],
    "rows": [
      row | {"cause": labels[row["cause"]], "effect": labels[row["effect"]]}
      for row in rows
    ],
    "columns": {name: TITLES[name] for name in _shown(matrices, found)},
    "truth": TRUTH in matrices,
    "nodes": nodes,
    "arrows": arrows,
    "recovery": {
      TITLES[name]: source["recovery"]
      for name, source in effects["sources"].items()
      if "recovery" in source
    },
    "panels": {
      TITLES[name]: heat_map(matrices[name], labels, name)
      for name in _shown(matrices, found)
    },
  }


def _shown(matrices: Mapping[str, np.ndarray], found: str) -> list[str]:
  return [name for name in (found, PLAIN, TRUTH) if name in matrices]


def _rows(
  matrices: Mapping[str, np.ndarray], found: str
) -> list[dict[str, Any]]:
  """Returns the strongest effects of every matrix, the model's first."""
  shown = _shown(matrices, found)
  size = len(matrices["labels"])
  chosen: dict[tuple[int, int], None] = {}
  for name in shown:
    effect_NN = np.nan_to_num(np.asarray(matrices[name], float), nan=-np.inf)
    np.fill_diagonal(effect_NN, -np.inf)
    order = np.argsort(-effect_NN, axis=None, kind="stable")[:STRONGEST]
    for i, j in zip(*np.divmod(order, size), strict=True):
      if effect_NN[i, j] > SAME:
        chosen[int(i), int(j)] = None
  rows = [
    {"cause": i, "effect": j, "values": [_at(matrices[n], i, j) for n in shown]}
    | {"kind": _kind(matrices, i, j)}
    for i, j in chosen
  ]
  return sorted(rows, key=lambda row: -(row["values"][0] or -math.inf))


def _at(matrix_NN: np.ndarray, i: int, j: int) -> float | None:
  value = float(matrix_NN[i, j])
  return value if math.isfinite(value) else None


def _kind(matrices: Mapping[str, np.ndarray], i: int, j: int) -> str:
  if TRUTH not in matrices:
    return "unknown"
  return "true" if float(matrices[TRUTH][i, j]) > SAME else "false"


def _picture(
  labels: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Node], list[Arrow]]:
  """Returns labels on a circle and arrows for the strongest effects found."""
  drawn = [row for row in rows if (row["values"][0] or 0) > 0][:DRAWN]
  ends = (n for row in drawn for n in (row["cause"], row["effect"]))
  used: list[int] = list(dict.fromkeys(ends))
  places, nodes = {}, []
  for place, n in enumerate(used):
    angle = 2 * math.pi * place / len(used) - math.pi / 2
    x, y = math.cos(angle), math.sin(angle)
    places[n] = (x, y)
    anchor = "middle" if abs(x) < 0.2 else "start" if x > 0 else "end"
    far = RADIUS + 12
    at = (MIDDLE[0] + far * x, MIDDLE[1] + far * y + 4)
    nodes.append(
      Node(short(labels[n]), round(at[0], 1), round(at[1], 1), anchor)
    )
  most = max((row["values"][0] for row in drawn), default=1.0)
  arrows = []
  for row in drawn:
    line = _ends(places[row["cause"]], places[row["effect"]])
    width = round(1 + 3 * row["values"][0] / most, 2)
    arrows.append(Arrow(line, width, row["kind"]))
  return nodes, arrows


def _ends(
  a: tuple[float, float], b: tuple[float, float]
) -> tuple[float, float, float, float]:
  """Returns a line between two places of the circle, a little to the side.

  Two arrows between the same labels then do not cover each other.
  """
  length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1
  aside = (-(b[1] - a[1]) / length * 4, (b[0] - a[0]) / length * 4)
  points = [(a[0] * RADIUS, a[1] * RADIUS), (b[0] * RADIUS, b[1] * RADIUS)]
  flat = [
    round(MIDDLE[axis] + point[axis] + aside[axis], 1)
    for point in points
    for axis in (0, 1)
  ]
  return flat[0], flat[1], flat[2], flat[3]


def short(name: str) -> str:
  """Returns a name on one line, cut to `LETTERS`."""
  name = " ".join(name.split())
  return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def heat_map(matrix_NN: np.ndarray, labels: Sequence[str], salt: str) -> str:
  """Returns a matrix in colours as SVG: causes down, effects across.

  Args:
    matrix_NN: Effects; NaN and the diagonal are blank.
    labels: Names of the N labels.
    salt: See `curves.settings`.
  """
  shown = np.array(matrix_NN, float)
  np.fill_diagonal(shown, np.nan)
  sizes = np.abs(shown[np.isfinite(shown)])
  limit = max(float(np.quantile(sizes, 0.99)) if sizes.size else 0.0, 1e-3)
  side = min(MARGIN + CELL * len(labels), LARGEST)
  with (
    style.context("default"),
    matplotlib.rc_context(curves.settings(salt)),
    warnings.catch_warnings(),
  ):
    # The browser draws the names, in a font that has their letters.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")
    figure = Figure((side + 0.6, side), layout="constrained")
    FigureCanvasSVG(figure)
    ax = figure.subplots()
    image = ax.imshow(
      shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
    )
    _name_axes(ax, labels)
    figure.colorbar(image, ax=ax, shrink=0.7)
    return curves.svg_of(figure)


def _name_axes(ax: Axes, labels: Sequence[str]) -> None:
  ticks = range(len(labels)) if len(labels) <= NAMED else []
  names = [short(labels[n]) for n in ticks]
  ax.set_xticks(ticks, names, fontsize=6, rotation=90, parse_math=False)
  ax.set_yticks(ticks, names, fontsize=6, parse_math=False)
  ax.set_xlabel("effect")
  ax.set_ylabel("cause")
