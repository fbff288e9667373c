"""A table over several runs as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.reports.summary import COLUMNS, TITLES

CSV_COLUMNS = (
  *("row", "split", "metric", "mean", "half_width", "seeds"),
  *("difference", "p_value", "paper", "note"),
)
HEAD = """\
`{config}`, {metric} in %, seeds {seeds}: mean ± half of the 95% t-interval
over seeds. Differences are over the seeds that both rows have, with the
p-value of a paired two-sided t-test, not corrected for their number."""


def _flat(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
  """Yields the lines of the CSV file."""
  for row in found["rows"]:
    note = "; ".join(problems(row))
    for split in found["splits"]:
      for key, cell in row["splits"][split].items():
        yield {
          "row": row["name"],
          "split": split,
          "metric": key,
          "seeds": len(cell["values"]),
          "paper": row["paper"][key] if split == found["paper_split"] else None,
          "note": note,
        } | {k: v for k, v in cell.items() if k in CSV_COLUMNS}
    if not found["splits"]:
      yield {"row": row["name"], "seeds": 0, "note": note}


def csv_text(found: Mapping[str, Any]) -> str:
  """Returns a table as CSV: a line a row, split and metric."""
  return csv_lines(CSV_COLUMNS, _flat(found))


def csv_lines(
  columns: Sequence[str], lines: Iterable[Mapping[str, Any]]
) -> str:
  """Returns lines as CSV, with a head; what a line lacks is empty."""
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator="\n")
  writer.writeheader()
  writer.writerows(lines)
  return text.getvalue()


def problems(row: Mapping[str, Any]) -> list[str]:
  """Returns what stands in the way of a row, one line a cause."""
  if row["note"]:
    return [row["note"]]
  lines = [
    f"seed {seed} failed, {run['reason']}"
    for seed, run in row["runs"].items()
    if run["state"] == "failed"
  ]
  absent = [s for s, run in row["runs"].items() if run["state"] == "missing"]
  return lines + ([f"not run yet: seed {', '.join(absent)}"] if absent else [])


def markdown(found: Mapping[str, Any]) -> str:
  """Returns a table as Markdown: two tables a split, then what is missing."""
  metric = TITLES[found["metric"]]
  source = f" ({found['source']} of the paper)" if found["source"] else ""
  lines = [
    f"# {found['title']}{source}",
    HEAD.format(config=found["config"], metric=metric, seeds=seeds_of(found)),
  ]
  lines += [found["note"]] if found["note"] else []
  for split in found["splits"]:
    lines.append("\n".join(_means(found, split)))
    if len(found["rows"]) > 1:
      lines.append("\n".join(_differences(found, split)))
  return "\n\n".join(lines + unfinished(found["rows"])) + "\n"


def unfinished(rows: Iterable[Mapping[str, Any]]) -> list[str]:
  """Returns the paragraphs on what is missing, none if nothing is."""
  missing = [
    f"- {row['name']}: {said}" for row in rows for said in problems(row)
  ]
  return ["Not finished:", "\n".join(missing)] if missing else []


def _means(found: Mapping[str, Any], split: str) -> Iterable[str]:
  has_paper = split == found["paper_split"] and any(
    value is not None
    for row in found["rows"]
    for value in row["paper"].values()
  )
  extra = [f"paper: {name}" for name in COLUMNS] if has_paper else []
  yield line([f"`{split}`", *COLUMNS, *extra, "seeds"])
  yield line(["---"] + ["---:"] * (len(COLUMNS) + len(extra) + 1))
  for row in found["rows"]:
    cells = [mean(cell) for cell in row["splits"][split].values()]
    if has_paper:
      cells += [_number(value) for value in row["paper"].values()]
    yield line([row["name"], *cells, seeds(row)])


def _differences(found: Mapping[str, Any], split: str) -> Iterable[str]:
  others = [r for r in found["rows"] if r["name"] != found["reference"]]
  yield line([f"`{split}`, difference to {found['reference']}", *COLUMNS])
  yield line(["---"] + ["---:"] * len(COLUMNS))
  for row in others:
    cells = [difference(cell) for cell in row["splits"][split].values()]
    yield line([row["name"], *cells])


def seeds_of(found: Mapping[str, Any]) -> str:
  """Returns the seeds of a table, in words."""
  return ", ".join(map(str, found["seeds"])) or "none"


def line(cells: Iterable[str]) -> str:
  """Returns a line of a table."""
  return f"| {' | '.join(cells)} |"


def _number(value: float | None, form: str = ".1f") -> str:
  return "-" if value is None else format(value, form)


def mean(cell: Mapping[str, Any], form: str = ".1f") -> str:
  """Returns a mean, with its interval if it has one."""
  if cell["half_width"] is None:
    return _number(cell["mean"], f"z{form}")
  return f"{cell['mean']:z{form}} ± {cell['half_width']:{form}}"


def difference(cell: Mapping[str, Any], form: str = ".1f") -> str:
  """Returns a difference, with its p-value if it has one."""
  shown = _number(cell["difference"], f"+z{form}")
  if cell["p_value"] is None:
    return shown
  return f"{shown} (p = {cell['p_value']:.2g})"


def seeds(row: Mapping[str, Any]) -> str:
  """Returns how many runs are done, and of how many if not of all."""
  if row["note"]:
    return row["note"]
  states = [run["state"] for run in row["runs"].values()]
  done, failed = states.count("done"), states.count("failed")
  said = str(done) if done == len(states) else f"{done} of {len(states)}"
  return f"{said}, {failed} failed" if failed else said


def write(found: Mapping[str, Any], stem: pathlib.Path) -> None:
  """Writes STEM.md, STEM.csv and STEM.json."""
  write_forms({"md": markdown(found), "csv": csv_text(found)}, found, stem)


def write_forms(
  texts: Mapping[str, str], found: Mapping[str, Any], stem: pathlib.Path
) -> None:
  """Writes a table in all its forms.

  Args:
    texts: by the ending of their file.
    found: goes to STEM.json.
    stem: path of the files, without an ending.
  """
  for ending, text in texts.items():
    with atomic_files.replacing(
      stem.with_name(f"{stem.name}.{ending}")
    ) as file:
      file.write(text.encode())
  atomic_files.write_json(stem.with_name(f"{stem.name}.json"), found)
