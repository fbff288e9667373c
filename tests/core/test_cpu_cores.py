"""Processes of a host share its cores."""

import os
import sys

import joblib
import pytest

from causal_mlr_jax.core import cpu_cores
from tests.processes import finish, slurm, start_each

# Of the cores that it is told, or of all of them.
SNIPPET = """
import os, sys
if sys.argv[1:]:
  os.sched_setaffinity(0, {int(os.environ[sys.argv[1]])})
from causal_mlr_jax.core import cpu_cores, parallel
parallel.initialize()
print("cores", cpu_cores.share_of_cores())
"""


def own_cores_of_two(*argv):
  found = start_each([sys.executable, "-c", SNIPPET, *argv], slurm())
  said = finish(found)
  return [int(text.split("cores ")[1].split()[0]) for text in said]


def test_a_process_alone_has_all_that_it_is_given():
  assert cpu_cores.share_of_cores() == joblib.cpu_count()


def test_processes_with_the_same_cores_share_them():
  half = max(1, joblib.cpu_count() // 2)
  assert own_cores_of_two() == [half, half]


@pytest.mark.skipif(
  not {0, 1} <= getattr(os, "sched_getaffinity", lambda pid: set())(0),
  reason="needs cores 0 and 1, and to bind a process to one of them",
)
def test_processes_that_are_bound_to_cores_of_their_own_keep_them():
  assert own_cores_of_two("SLURM_LOCALID") == [1, 1]
