"""Plans of sweeps, and the files that their runs leave without being made."""

import json

from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES
from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep import table_rows
from causal_mlr_jax.sweep.run_configs import ConfigSource

EMOJI = ConfigSource("configs/context_emoji.py")
# A row that cannot be run.
WEIGHTLESS = (table_rows.Row("beit3", weights="pretrained/beit3.pth"), {})
FAILURE = {"exit_code": 3, "reason": "the loss is not finite", "time": 1.0}


def plan(table, folder, names=(), seeds=(0,), source=EMOJI, **more):
  return sweep_plan.make_plan(table, source, seeds, folder, names, **more)


def runs_of(made):
  """The runs of a plan by the name of their row, and by seed."""
  return {row.name: runs for row, runs in made.rows}


def write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value))


def report(run, metrics, **seconds):
  """Writes the report of a run."""
  found = {"config": run.config, "metrics": metrics, "seconds": seconds}
  write(run.folder / "report" / "report.json", found)


def scored(run, value, *splits):
  """Writes a report with scores by both metrics; co-occur is unknown."""
  every = {"exclusive": value, "cooccur": None, "all": value + 30}
  metrics = {f"{key}_map": score for key, score in every.items()}
  splits = splits or ("test",)
  report(run, {split: metrics | {"top3_recall": every} for split in splits})


def measured(run, sources, drop, known=True):
  """Writes what was measured on a run; no source knows the direction.

  Args:
    sources: a value for all measures of recovery by source.
    drop: for all measures of reliance.
    known: whether the causal model is known and images can be drawn anew.
  """
  found = {name: {"strongest": []} for name in sources}
  for name, value in sources.items() if known else ():
    recovery = dict.fromkeys(COLUMNS.values(), value)
    found[name]["recovery"] = recovery | {"direction": None, "edges": 8}
  reliance = {key: {"mean": drop, "each": {}} for key in MEASURES}
  effects = {
    "split": "test",
    "settings": run.config["effects"],
    "sources": found,
    "reliance": reliance | {"images": 500} if known else None,
  }
  write(run.folder / "effects" / "effects.json", effects)
  report(run, {})
