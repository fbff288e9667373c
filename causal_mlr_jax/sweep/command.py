"""Fills a table of the paper: every row with several seeds.

  python -m causal_mlr_jax.sweep --config=configs/context_emoji.py \
    --table=modules --seeds=0,1,2,3,4 --workdir=DIR

Each run is a process of `causal_mlr_jax.main` in a folder of its own,
DIR/runs/METHOD-CONFIGURATION-SEED; rows and tables that need the same run share
it. After each run DIR/table_TABLE.md, .csv, .json and .png are written anew.
The same command goes on where the last one stopped: it repeats no finished
run, and tries failed ones again. Several processes may work on one DIR, with
or without --shard: no run is made twice. For the table `effects` a second
process measures the effects of each run, in the same folder.

--config is a file of configs/. In FILE:METHOD,RECIPE each row puts its own
method in the place of METHOD, and RECIPE stays. --config.KEY=VALUE goes to
every run, --config.method.KEY=VALUE to the runs of every method that has KEY; a
row's own values win over both. --workdir is workdir/sweep-CONFIG by default.
Exit codes: 0 done, 1 some runs failed (the table says which and why), 2 a
mistake that the message explains, 130 interrupted, 143 asked to stop.
"""

from __future__ import annotations

import contextlib
import errno
import pathlib
import re
import sys
import time
from collections.abc import Iterator, Sequence

from absl import flags
from ml_collections import config_flags

from causal_mlr_jax import main as program
from causal_mlr_jax.core import errors, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep import process, table_rows, write_table
from causal_mlr_jax.sweep import runs as sweep_runs
from causal_mlr_jax.sweep.plan import Plan
from causal_mlr_jax.sweep.run_configs import ConfigSource, Run
from causal_mlr_jax.sweep.runs import State

EXIT_FAILED = 1
POLL_SECONDS = 1.0

FLAGS = flags.FLAGS
_TABLE = flags.DEFINE_string(
  "table", None, f"The table to fill, one of {', '.join(table_rows.TABLES)}."
)
_SEEDS = flags.DEFINE_string(
  "seeds", "0,1,2,3,4", "Each row is trained once with each of these seeds."
)
_ROWS = flags.DEFINE_list(
  "rows", [], "The names of the rows to fill, by default all of the table."
)
_REFERENCE = flags.DEFINE_string(
  "reference",
  "",
  "The row that the others are compared with, by default the table's own.",
)
_SHARD = flags.DEFINE_string(
  "shard",
  "0/1",
  "With I/N this process makes every N-th run, beginning with the I-th one. I "
  "counts from 0.",
)
_DRY_RUN = flags.DEFINE_bool(
  "dry-run",
  False,
  "Lists the runs and how long those that are left take, but makes none.",
)


def parse_seeds(text: str) -> tuple[int, ...]:
  """Returns the seeds of '0,1,2'.

  Raises:
    UserError: not different numbers from 0 with commas between.
  """
  parts = text.split(",")
  seeds = tuple(int(p) for p in parts if re.fullmatch("[0-9]+", p))
  if len(seeds) < len(parts) or len(set(seeds)) < len(seeds):
    raise UserError(
      f"--seeds={text}: expected different whole numbers from 0 on with "
      "commas between them, for example --seeds=0,1,2."
    )
  return seeds


def parse_shard(text: str) -> tuple[int, int]:
  """Returns (I, N) of 'I/N'.

  Raises:
    UserError: not two whole numbers, or I is not from 0 to N - 1.
  """
  match = re.fullmatch("([0-9]+)/([0-9]+)", text)
  if match is None or int(match[1]) >= int(match[2]):
    raise UserError(
      f"--shard={text}: expected I/N with I from 0 to N - 1, for example "
      "--shard=0/4 for the first of four processes."
    )
  return int(match[1]), int(match[2])


def parse_overrides(argv: Sequence[str]) -> tuple[str, ...]:
  """Returns the arguments '--config.KEY=VALUE', which every run gets.

  Raises:
    UserError: an argument whose value is not in the same word, or the seed.
  """
  words = FLAGS.read_flags_from_files(list(argv[1:]), force_gnu=False)
  given = [word for word in words if re.match(r"--?(no)?config\.", word)]
  for word in given:
    key = re.sub(r"^--?(no)?config\.", "", word).partition("=")[0]
    if "=" not in word:
      raise UserError(
        f"{word}: a sweep passes overrides on as they are; expected "
        f"--config.{key}=VALUE in one word."
      )
    if key == "seed":
      raise UserError(
        f"{word}: a sweep sets the seed of each run; give --seeds=0,1,2."
      )
  return tuple(given)


def dry_run(plan: Plan) -> None:
  """Shows the runs of this process and what is known of them."""
  names: dict[pathlib.Path, list[str]] = {}
  for row, runs in plan.rows:
    if not runs:
      print(f"{'left out':9} {row.name}: {sweep_plan.lacks(row, plan.config)}")
    for run in runs.values():
      names.setdefault(run.folder, []).append(row.name)
  states = {run.folder: sweep_runs.state_of(run) for run in plan.runs}
  for folder, state in states.items():
    print(f"{state.value:9} {folder.name}  ({', '.join(names[folder])})")
  left = [r for r in plan.runs if states[r.folder] is not State.DONE]
  failed = [*states.values()].count(State.FAILED)
  print(
    f"{len(states)} run(s), {len(states) - len(left)} done, {failed} failed; "
    f"time left: {sweep_plan.work_left(left, plan.folder)}"
  )


def make_all(plan: Plan) -> int:
  """Makes all runs of the plan and returns how many failed.

  Raises:
    UserError: the folder cannot be written, or a run cannot be started.
    Preempted: asked to stop.
    KeyboardInterrupt: interrupted.
  """
  since, failed, waits = time.time(), 0, False
  _write(plan)
  pending = [r for r in plan.runs if sweep_runs.state_of(r) is not State.DONE]
  _say(plan, pending, failed)
  with process.Stop().listening() as stop:
    while pending:
      before = len(pending)
      for run in tuple(pending):
        with _writing(plan.folder):
          state = sweep_runs.attempt(run, since, stop)
        if state is not State.BUSY:
          pending.remove(run)
          failed += state is State.FAILED
          failure = sweep_runs.failure_of(run)
          if failure is not None:
            progress.say(f"failed: {run.folder}: {failure['reason']}")
          _write(plan)
          _say(plan, pending, failed)
        if stop.requested:
          raise errors.Preempted(process.STOPPED)
      if len(pending) == before:
        if not waits:
          progress.say(f"waiting: {before} run(s) are made by other processes")
        waits = True
        time.sleep(POLL_SECONDS)
  return failed


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
  """Turns an error of the system into a message on what it hinders."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or error  # shutil.Error has no strerror
    if error.errno in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE):
      raise UserError(
        f"A run of {folder} cannot be started: {reason}. Free memory, or let "
        "fewer processes work on the sweep, and the same command goes on."
      ) from error
    raise UserError(
      f"{error.filename or folder} cannot be written: {reason}. Make that "
      "possible, and the same command goes on; or set --workdir to another "
      "folder."
    ) from error


def _write(plan: Plan) -> None:
  """Writes the table, in the folder of the sweep."""
  with _writing(plan.folder):
    (plan.folder / "runs").mkdir(parents=True, exist_ok=True)
    write_table.write(plan)


def _say(plan: Plan, pending: Sequence[Run], failed: int) -> None:
  """Says how much of the sweep is done."""
  total = len(plan.runs)
  done = total - len(pending) - failed
  left = sweep_plan.work_left(pending, plan.folder)
  progress.say(
    f"sweep: {done}/{total} runs done, {failed} failed, time left: {left}"
  )


def main(argv: Sequence[str]) -> int:
  """Fills the table of the flags and returns the exit code.

  Raises:
    UserError: a wrong flag, or one that is missing.
  """
  if _TABLE.value is None:
    raise UserError(
      "No table given: expected --table=NAME with one of "
      f"{', '.join(table_rows.TABLES)}."
    )
  for name in ("mode", "distributed"):
    if FLAGS[name].present:
      raise UserError(
        f"--{name} is a flag of causal_mlr_jax.main; a sweep trains, one "
        "process a run. Leave it out."
      )
  path = config_flags.get_config_filename(FLAGS["config"])
  file, _, argument = path.partition(":")
  _, comma, recipe = argument.partition(",")
  folder = program.FLAGS.workdir or f"workdir/sweep-{pathlib.Path(file).stem}"
  plan = sweep_plan.make_plan(
    _TABLE.value,
    ConfigSource(file, comma + recipe, parse_overrides(argv)),
    parse_seeds(_SEEDS.value),
    pathlib.Path(folder).expanduser().absolute(),
    _ROWS.value,
    parse_shard(_SHARD.value),
    _REFERENCE.value,
  )
  for override, rows in plan.not_taken.items():
    progress.say(f"{override} is not for {', '.join(rows)}: no such field")
  if _DRY_RUN.value:
    dry_run(plan)
    return errors.EXIT_OK
  failed = make_all(plan)
  progress.say(f"table: {plan.folder / f'table_{plan.name}.md'}")
  return EXIT_FAILED if failed else errors.EXIT_OK


def cli(argv: list[str]) -> int:
  """Runs the program and returns its exit code."""
  if {"--help", "-h", "--helpfull"} & set(argv):
    print(f"{__doc__}\n{FLAGS.module_help(sys.modules[__name__])}")
    return errors.EXIT_OK
  try:
    program.parse_flags(argv)
    return main(argv)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return errors.EXIT_USER_ERROR
  except KeyboardInterrupt:
    print("interrupted; the same command goes on from there", file=sys.stderr)
    return errors.EXIT_INTERRUPTED
  except errors.Preempted as error:
    print(error, file=sys.stderr)
    return errors.EXIT_PREEMPTED
