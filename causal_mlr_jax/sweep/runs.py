"""Makes a run of a sweep, and reads what is in its folder."""

from __future__ import annotations

import contextlib
import copy
import enum
import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from causal_mlr_jax import workdir
from causal_mlr_jax.core import atomic_files, errors
from causal_mlr_jax.sweep import process
from causal_mlr_jax.sweep.run_configs import Run


class State(enum.Enum):
  """What is known of a run; a `BUSY` one is made by another process."""

  DONE = "done"
  FAILED = "failed"
  BUSY = "busy"
  MISSING = "to do"


class Job(NamedTuple):
  """What one process does of a run.

  Attributes:
    mode: of `causal_mlr_jax.main`.
    failed: the file that it leaves when it fails. A measurement has one of its
      own, because the training is still good when the measurement fails.
    result_of: returns what it leaves when it is done, else None.
  """

  mode: str
  failed: str
  result_of: Callable[[Run], dict[str, Any] | None]


def report_of(run: Run) -> dict[str, Any] | None:
  """Returns the report of the run, None without one of its configuration."""
  report = _read(run.folder / "report" / "report.json")
  if report is None:
    return None
  wanted = copy.deepcopy(dict(run.config))
  if wanted["method"].get("variant") == "auto":  # the run decides it
    wanted["method"]["variant"] = report["config"]["method"]["variant"]
  return None if workdir.differences(report["config"], wanted) else report


def effects_of(run: Run) -> dict[str, Any] | None:
  """Returns the effects of the run, None without any by its settings."""
  effects = _read(run.folder / "effects" / "effects.json")
  same = effects is not None and effects["settings"] == run.config["effects"]
  return effects if same else None


def _read(path: pathlib.Path) -> dict[str, Any] | None:
  return atomic_files.read_json(path) if path.exists() else None


TRAINING = Job("train", "failed.json", report_of)
TEST = Job("evaluate", "failed.json", report_of)
MEASUREMENT = Job("effects", "effects/failed.json", effects_of)


def jobs_of(run: Run) -> tuple[Job, ...]:
  """Returns the jobs of a run in their order."""
  first = TRAINING if run.trained is None else TEST
  return (first, MEASUREMENT) if run.effects else (first,)


def failure_of(run: Run) -> dict[str, Any] | None:
  """Returns what a failed job of the run left, None if none failed."""
  found = (_read(run.folder / job.failed) for job in jobs_of(run))
  return next((failure for failure in found if failure is not None), None)


def state_of(run: Run) -> State:
  """Returns the state by the files of the run, which is never `BUSY`."""
  job = _next_job(run)
  if job is None:
    return State.DONE
  return State.FAILED if (run.folder / job.failed).exists() else State.MISSING


def _next_job(run: Run) -> Job | None:
  return next((j for j in jobs_of(run) if j.result_of(run) is None), None)


def summary_of(run: Run) -> dict[str, str]:
  """Returns `folder` (its name), `state`, and the `reason` of a failure."""
  state, reason = state_of(run), ""
  job = _next_job(run)
  failure = None if job is None else _read(run.folder / job.failed)
  if failure is not None:
    reason = f"exit code {failure['exit_code']}: {failure['reason']}"
    if run.effects:
      what = "measurement" if job is MEASUREMENT else "training"
      reason = f"{what}, {reason}"
  name = state.name.lower()
  return {"folder": run.folder.name, "state": name, "reason": reason}


@contextlib.contextmanager
def claimed(run: Run) -> Iterator[int | None]:
  """Claims a run; yields a file descriptor, None if another process has it.

  The claim lasts until all processes that have the descriptor are gone. So a
  run stays claimed when the sweep that started it is killed.
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
  """Makes a run, unless it is done or another process makes it.

  Args:
    run: to be made.
    since: time of the sweep's start; a job that failed after it is not tried
      again.
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
    if other is not None and trained is State.FAILED:
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
  # Another process may have had the run until now.
  if job.result_of(run) is not None:
    return State.DONE
  failure = _read(run.folder / job.failed)
  if failure is not None and failure["time"] >= since:
    return State.FAILED
  if run.trained is not None:
    take_over(run.trained.folder, run.folder)
  flags = (*run.flags, f"--workdir={run.folder}", f"--mode={job.mode}")
  found = process.execute(flags, run.folder, claim, stop)
  if job.result_of(run) is not None and found["exit_code"] == 0:
    (run.folder / job.failed).unlink(missing_ok=True)
    return State.DONE
  atomic_files.write_json(run.folder / job.failed, found)
  return State.FAILED


def take_over(trained: pathlib.Path, folder: pathlib.Path) -> None:
  """Puts the trained model of a finished run into another run's folder.

  Nothing is trained there, so files are linked where the system has links. What
  is there already stays.

  Args:
    trained: folder of the finished run.
    folder: of the run that is tested.
  """
  parts = zip(_trained_parts(trained), _trained_parts(folder), strict=True)
  for source, target in parts:
    if target.exists() or not source.exists():
      continue
    partial = target.with_name(f".{target.name}.partial")
    if source.is_dir():
      shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
      shutil.copytree(source, partial, copy_function=_link)
    else:
      partial.unlink(missing_ok=True)
      _link(source, partial)
    partial.rename(target)


def _trained_parts(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns what a test needs; the last of it, once there, completes it."""
  run = workdir.Workdir(os.fspath(folder))
  return run.data, run.confounders, run.side_inputs, run.checkpoints


def _link(
  source: str | os.PathLike[str], target: str | os.PathLike[str]
) -> None:
  """Links a file, or copies it where there are no hard links."""
  try:
    os.link(source, target)
  except OSError:
    shutil.copy2(source, target)
