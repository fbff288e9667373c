"""The training of one run in the folder of another one."""

from __future__ import annotations

import os
import pathlib
import shutil

from causal_mlr_jax.workdir import Workdir


def take_over(trained: pathlib.Path, folder: pathlib.Path) -> None:
  """Puts what a finished run was trained to into another run's folder.

  Nothing is trained there, so files are linked where the system can. What is
  there already stays.

  Args:
    trained: folder of the finished run.
    folder: of the run that is tested.
  """
  for source, target in zip(_parts(trained), _parts(folder), strict=True):
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


def _parts(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns what a test needs; with the last of it, what is trained, all."""
  run = Workdir(os.fspath(folder))
  return run.data, run.confounders, run.side_inputs, run.checkpoints


def _link(
  source: str | os.PathLike[str], target: str | os.PathLike[str]
) -> None:
  """Links a file, or copies it where there are no hard links."""
  try:
    os.link(source, target)
  except OSError:
    shutil.copy2(source, target)
