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


class UserError(ValueError):
  """Something outside the code is wrong: a key, a name, a file, a folder.

  The message says what was wrong, what was expected, what was got and what
  to do. `main` prints it without a traceback and exits with 2.
  """


class NonFiniteError(RuntimeError):
  """The loss or a gradient became NaN or infinite; exit code 3."""


class Preempted(RuntimeError):
  """The process was asked to stop and has saved its state; exit code 143."""
