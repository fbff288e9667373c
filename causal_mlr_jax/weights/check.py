"""Checks our code against arrays that published implementations computed.

  python -m causal_mlr_jax.weights.check FILE.npz [FILE.npz ...]

From only a file's `meta` and `state` it builds our module, loads the weights
like any published checkpoint, runs the module and compares outputs, losses,
gradients and statistics. It prints one line per file. The exit code is 1 if an
error is above 1e-4 of the largest value of its array, or if an array is unused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

import jax

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.parity import heads
from causal_mlr_jax.weights.parity.golden import Golden, worst

CASES = "causal_mlr_jax.weights.parity.cases"
# Largest error relative to the largest value of an array, for float32.
TOLERANCE = 1e-4


def find_case(name: str) -> ModuleType:
  """Returns the case module whose name is the beginning of the case's name.

  Raises:
    UserError: There is no such module.
  """
  choices = lookup.names(CASES)
  fitting = [choice for choice in choices if name.startswith(choice)]
  if not fitting:
    raise lookup.unknown_name("case of a parity file", name, choices)
  return lookup.module(CASES, max(fitting, key=len))


def check(path: str) -> tuple[bool, str]:
  """Returns whether a file passes, and the line to print.

  Args:
    path: An .npz file with `meta`, `state`, `input` and `output` entries.
  """
  try:
    golden = Golden(path)
    case = find_case(golden.case)
    run = getattr(case, "run", None)
    found = run(golden) if run else heads.run(golden, case)
    result = worst(golden, found, case.UNCHECKED)
  except UserError as error:
    return False, f"{path}  FAILED  {error}"
  problems = list(result.problems)
  if result.relative > TOLERANCE:
    problems.append(f"above {TOLERANCE:g} relative: {result.key}")
  verdict = "FAILED" if problems else "ok"
  line = (
    f"{path}  {verdict}  max abs err {result.absolute:.1e}  "
    f"max rel err {result.relative:.1e}"
  )
  return not problems, "\n  ".join([line, *problems])


def main(argv: Sequence[str] | None = None) -> int:
  """Checks the files given on the command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog="python -m causal_mlr_jax.weights.check",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("files", nargs="+", metavar="FILE.npz")
  arguments = parser.parse_args(argv)
  # The files are float32; an accelerator's default products are less exact.
  jax.config.update("jax_default_matmul_precision", "highest")
  passed = True
  for path in arguments.files:
    ok, line = check(path)
    print(line, flush=True)
    passed &= ok
  return 0 if passed else 1


if __name__ == "__main__":
  sys.exit(main())
