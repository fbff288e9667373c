"""Processes of a host share its cores."""

import functools
import os
import sys

import joblib
import pytest

from causal_mlr_jax.core import cpu_cores
from tests.processes import finish, slurm, start_each

BINDS = {0, 1} <= getattr(os, "sched_getaffinity", lambda pid: set())(0)
# Of all cores, then of a core of its own.
SNIPPET = """
import os, sys
from causal_mlr_jax.core import cpu_cores, parallel
parallel.initialize()
print("cores", cpu_cores.share_of_cores())
if int(sys.argv[1]):
  os.sched_setaffinity(0, {int(os.environ["SLURM_LOCALID"])})
  print("bound", cpu_cores.share_of_cores())
"""


@functools.cache
def said_by_two():
  command = [sys.executable, "-c", SNIPPET, str(int(BINDS))]
  return finish(start_each(command, slurm()))


def counted(word):
  return [int(text.split(word)[1].split()[0]) for text in said_by_two()]


def test_a_process_alone_has_all_that_it_is_given():
  assert cpu_cores.share_of_cores() == joblib.cpu_count()


def test_processes_with_the_same_cores_share_them():
  half = max(1, joblib.cpu_count() // 2)
  assert counted("cores") == [half, half]


@pytest.mark.skipif(
  not BINDS, reason="needs cores 0 and 1, and to bind a process to one of them"
)
def test_processes_that_are_bound_to_cores_of_their_own_keep_them():
  assert counted("bound") == [1, 1]
