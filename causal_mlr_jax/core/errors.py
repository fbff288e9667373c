"""Errors that a user can mend, and the exit codes of the program."""

from __future__ import annotations

from absl import flags

EXIT_OK = 0
EXIT_USER_ERROR = 2
EXIT_NON_FINITE = 3
EXIT_INTERRUPTED = 130
EXIT_PREEMPTED = 143
# What a wrong flag, key, value or configuration file raises in absl and
# ml_collections.
FLAG_ERRORS = (
  flags.Error,
  AttributeError,
  KeyError,
  TypeError,
  ValueError,
  OSError,
)


def unknown_key(error: AttributeError | KeyError) -> str:
  """Returns what an error of a configuration says of a key that it lacks."""
  while isinstance(error.args[0], BaseException):  # one in another
    error = error.args[0]
  return (
    f"Unknown configuration key {' '.join(str(error.args[0]).split())} "
    "(expected a key of configs/common.py, or below config.method a field of "
    "that method in configs/choices.py)"
  )


class UserError(ValueError):
  """Something outside the code is wrong: a key, a name, a file, a folder.

  The message says what was wrong, what was expected, what was got and what
  to do. `main` prints it without a traceback and exits with 2.
  """


class NonFiniteError(RuntimeError):
  """The loss or a gradient became NaN or infinite; exit code 3."""


class Preempted(RuntimeError):
  """The process was asked to stop and has saved its state; exit code 143."""
