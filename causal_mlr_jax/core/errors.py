"""Errors that a user can fix, and the exit codes of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from absl import flags

EXIT_OK = 0
EXIT_USER_ERROR = 2
EXIT_NON_FINITE = 3
EXIT_INTERRUPTED = 130
EXIT_PREEMPTED = 143
# What absl and ml_collections raise for a wrong flag, key, value or
# configuration file.
FLAG_ERRORS = (
  flags.Error,
  AttributeError,
  KeyError,
  TypeError,
  ValueError,
  OSError,
)


def unknown_key(error: BaseException) -> str:
  """Returns the message for a key that the configuration does not have."""
  while isinstance(error.args[0], BaseException):  # the error wraps another
    error = error.args[0]
  return (
    f"Unknown configuration key {' '.join(str(error.args[0]).split())} "
    "(expected a key of configs/common.py, or below config.method a field of "
    "that method in configs/registry.py)"
  )


class UserError(ValueError):
  """Something outside the code is wrong: a key, a name, a file, a folder.

  The message says what is wrong, what was expected, what was found and what to
  do about it. `main` prints it without a traceback and exits with code 2.
  """


def check_all(checks: Iterable[Callable[[], Any]]) -> None:
  """Runs all checks, so that one message can report every problem.

  Args:
    checks: Functions without arguments that may raise a `UserError`.

  Raises:
    UserError: At least one check failed; lists the messages of all failures.
  """
  failed = []
  for check in checks:
    try:
      check()
    except UserError as error:
      if str(error) not in map(str, failed):  # two checks may need one file
        failed.append(error)
  if len(failed) == 1:
    raise failed[0]
  if failed:
    messages = "\n\n".join(f"{i}. {error}" for i, error in enumerate(failed, 1))
    raise UserError(f"{len(failed)} things are missing or wrong.\n\n{messages}")


class NonFiniteError(RuntimeError):
  """The loss or a gradient became NaN or infinite; exit code 3."""


class Preempted(RuntimeError):
  """The process was asked to stop and has saved its state; exit code 143."""
