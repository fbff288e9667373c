"""One run of a sweep: its folder, its claim, and what came of it."""

from __future__ import annotations

import contextlib
import copy
import enum
import fcntl
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from causal_mlr_jax import workdir
from causal_mlr_jax.core import atomic_files, errors
from causal_mlr_jax.sweep import aggregate_effects, process, takeover
from causal_mlr_jax.sweep.run_configs import Run


class State(enum.Enum):
  """What is known of a run; `BUSY`: another process makes it."""

  DONE = "done"
  FAILED = "failed"
  BUSY = "busy"
  MISSING = "to do"


class Job(NamedTuple):
  """What one process does of a run.

  Attributes:
    mode: of `causal_mlr_jax.main`.
    failed: the file that it leaves when it fails. Each job has its own: a
      training is none the worse for a measurement that failed.
    result_of: returns what it leaves when it is done, else None.
  """

  mode: str
  failed: str
  result_of: Callable[[Run], dict[str, Any] | None]


def report_of(run: Run) -> dict[str, Any] | None:
  """Returns the report of the run, None without one of its configuration."""
  path = run.folder / "report" / "report.json"
  if not path.exists():
    return None
  report = atomic_files.read_json(path)
  wanted = copy.deepcopy(dict(run.config))
  if wanted["method"].get("variant") == "auto":  # the run decides it
    wanted["method"]["variant"] = report["config"]["method"]["variant"]
  same = not workdir.differences(report["config"], wanted)
  return report if same else None


def effects_of(run: Run) -> dict[str, Any] | None:
  """Returns the effects of the run, None without any of its settings."""
  return aggregate_effects.result_of(run.folder, run.config["effects"])


TRAINING = Job("train", "failed.json", report_of)
TEST = Job("evaluate", "failed.json", report_of)
EFFECTS = Job("effects", aggregate_effects.FAILED, effects_of)


def jobs_of(run: Run) -> tuple[Job, ...]:
  """Returns what a run consists of, one after another."""
  first = TRAINING if run.trained is None else TEST
  return (first, EFFECTS) if run.effects else (first,)


def failure_of(run: Run) -> dict[str, Any] | None:
  """Returns what a failed job of the run left, None if none failed."""
  found = (_failure(run, job) for job in jobs_of(run))
  return next((failure for failure in found if failure is not None), None)


def _failure(run: Run, job: Job) -> dict[str, Any] | None:
  path = run.folder / job.failed
  return atomic_files.read_json(path) if path.exists() else None


def state_of(run: Run) -> State:
  """Returns what the folder says; not whether a process is at it."""
  for job in jobs_of(run):
    if job.result_of(run) is None:
      return State.MISSING if _failure(run, job) is None else State.FAILED
  return State.DONE


@contextlib.contextmanager
def claimed(run: Run) -> Iterator[int | None]:
  """Holds a run; yields None if another process does.

  The yielded file descriptor carries the claim: it lasts until all processes
  that have it are gone, so that a run whose sweep was killed stays claimed.
  """
  run.folder.mkdir(parents=True, exist_ok=True)
  with (run.folder / "claim").open("a") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      yield None
      return
    yield file.fileno()


def attempt(run: Run, since: float, stop: process.Stop) -> State:
  """Makes a run, unless it is done or another process is at it.

  Args:
    run: to be made.
    since: time of the sweep's start; what failed later is not tried again.
    stop: passes signals on.

  Raises:
    Preempted: the run was asked to stop.
    KeyboardInterrupt: it was interrupted.
  """
  if state_of(run) is State.DONE:
    return State.DONE
  other = run.trained
  trained = State.DONE if other is None else attempt(other, since, stop)
  if trained is State.BUSY:
    return trained
  with claimed(run) as claim:
    if claim is None:
      return State.BUSY
    if trained is State.FAILED:
      atomic_files.write_json(run.folder / TEST.failed, failure_of(other))
      return trained
    for job in jobs_of(run):
      if stop.requested:
        raise errors.Preempted(process.STOPPED)
      state = _attempt(run, job, since, claim, stop)
      if state is not State.DONE:
        return state
  return State.DONE


def _attempt(
  run: Run, job: Job, since: float, claim: int, stop: process.Stop
) -> State:
  """Does one job of a run that is claimed, unless it is done."""
  # Another process may have had it until now.
  failure = _failure(run, job)
  if job.result_of(run) is not None:
    return State.DONE
  if failure is not None and failure["time"] >= since:
    return State.FAILED
  if run.trained is not None:
    takeover.take_over(run.trained.folder, run.folder)
  flags_ = (*run.flags, f"--workdir={run.folder}", f"--mode={job.mode}")
  found = process.execute(flags_, run.folder, claim, stop)
  if job.result_of(run) is not None and found["exit_code"] == 0:
    (run.folder / job.failed).unlink(missing_ok=True)
    return State.DONE
  atomic_files.write_json(run.folder / job.failed, found)
  return State.FAILED
