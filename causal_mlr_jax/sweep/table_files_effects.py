"""A table of effects over several runs as Markdown, CSV and JSON."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES, TITLES
from causal_mlr_jax.sweep import table_files
from causal_mlr_jax.sweep.aggregate_effects import COUNTED

CSV_COLUMNS = (
  *("row", "source", "metric", "mean", "half_width", "seeds"),
  *("difference", "p_value", "note"),
)
FORM = ".3f"
HEAD = """\
`{config}`, images of `{split}`, seeds {seeds}: mean ± half of the 95%
t-interval over seeds. Differences are over the seeds that both lines have, with
the p-value of a paired two-sided t-test, not corrected for their number."""
# What each part is of, and what stands in its place where it cannot be.
RECOVERY = """\
**Which effects recover the true causal edges.** AUROC and AP (average
precision) are of the edges against the pairs without an effect, \\* against the
biased pairs alone; direction is the part of the edges that exceed their
reverse, rank the correlation with the true effects. Effects are model-based
intervention scores, not identified causal effects. Those of the training
labels are counts, the same for every run, and have no interval."""
NO_RECOVERY = """\
The data set's causal model is not known, so there is nothing to compare
effects with; the strongest ones are in each run's `effects/effects.json`."""
RELIANCE = """\
**What scores lean on.** Mean loss of score of the same objects in another
context, and the part of the images without an object where it is seen."""
NO_RELIANCE = """\
The images of this data set cannot be drawn anew, so how scores lean on context
is left out."""


def name_of(line: Mapping[str, Any]) -> str:
  """Returns the name of a line: its row, and what its effects are from."""
  source = line.get("source", "")
  if source in ("", COUNTED):
    return line["row"]
  return f"{line['row']}: {TITLES[source]}"


def markdown(found: Mapping[str, Any]) -> str:
  """Returns a table as Markdown: two tables a part, then what is missing.

  Args:
    found: from `aggregate_effects.aggregate`.
  """
  head = HEAD.format(
    config=found["config"],
    split=found["split"] or "-",
    seeds=table_files.seeds_of(found),
  )
  lines = [f"# {found['title']}", head]
  lines += [found["note"]] if found["note"] else []
  columns = {
    "recovery": [title.replace("*", "\\*") for title in COLUMNS],
    "reliance": list(MEASURES.values()),
  }
  texts = {
    "recovery": (RECOVERY, NO_RECOVERY),
    "reliance": (RELIANCE, NO_RELIANCE),
  }
  for part, (text, left_out) in texts.items():
    if found[part] is None:
      lines.append(left_out)
      continue
    lines += [text, "\n".join(_means(found, part, columns[part]))]
    if len(found[part]) > 1:
      lines.append("\n".join(_differences(found[part], columns[part])))
  return "\n\n".join(lines + table_files.unfinished(found["rows"])) + "\n"


def _means(
  found: Mapping[str, Any], part: str, columns: list[str]
) -> Iterable[str]:
  seeds = {row["name"]: table_files.seeds(row) for row in found["rows"]}
  yield table_files.line(["", *columns, "seeds"])
  yield table_files.line(["---"] + ["---:"] * (len(columns) + 1))
  for line in found[part]:
    cells = [table_files.mean(cell, FORM) for cell in line["cells"].values()]
    yield table_files.line([name_of(line), *cells, seeds.get(line["row"], "-")])


def _differences(
  lines: list[Mapping[str, Any]], columns: list[str]
) -> Iterable[str]:
  first, *others = lines
  yield table_files.line([f"difference to {name_of(first)}", *columns])
  yield table_files.line(["---"] + ["---:"] * len(columns))
  for line in others:
    cells = [
      table_files.difference(cell, FORM) for cell in line["cells"].values()
    ]
    yield table_files.line([name_of(line), *cells])


def csv_text(found: Mapping[str, Any]) -> str:
  """Returns a table as CSV: a line a row, source and measure.

  Args:
    found: from `aggregate_effects.aggregate`.
  """
  return table_files.csv_lines(CSV_COLUMNS, _flat(found))


def _flat(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
  notes = {
    row["name"]: "; ".join(table_files.problems(row)) for row in found["rows"]
  }
  for line in (*(found["recovery"] or ()), *(found["reliance"] or ())):
    for key, cell in line["cells"].items():
      yield {
        "row": line["row"],
        "source": line.get("source", ""),
        "metric": key,
        "seeds": len(cell["values"]),
        "note": notes.get(line["row"], ""),
      } | {k: v for k, v in cell.items() if k in CSV_COLUMNS}


def write(found: Mapping[str, Any], stem: pathlib.Path) -> None:
  """Writes STEM.md, STEM.csv and STEM.json.

  Args:
    found: from `aggregate_effects.aggregate`.
    stem: path of the files, without an ending.
  """
  texts = {"md": markdown(found), "csv": csv_text(found)}
  table_files.write_forms(texts, found, stem)
