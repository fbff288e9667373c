"""Processes of their own that need not import the program anew.

One process imports it and is then forked for each call, so that nothing of a
call is left for the next.
"""

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests.paths import ROOT

SERVER = """
import json, os, sys, traceback, warnings
from causal_mlr_jax import main, run
from tests import quick_random
from tests.data.convert import plain

if quick_random.INSTALLED in os.environ:
  quick_random.install()
warnings.filterwarnings("ignore", "os.fork")  # no device is in use yet

def call(code, arguments, environment, files):
  for number, path in enumerate(files, 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
  os.environ.update(environment)
  sys.argv[1:] = arguments
  try:
    exec(code, {"__name__": "__main__"})
  except SystemExit as end:
    return end.code
  except BaseException:
    traceback.print_exc()
    return 1
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
  return 0

for line in sys.stdin:
  children = []
  for each in json.loads(line):
    children.append(os.fork())
    if not children[-1]:
      code = 1
      try:
        code = call(*each)
      finally:
        os._exit(code)
  codes = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
  print(json.dumps(codes), flush=True)
"""
PROGRAM = """
import sys
from causal_mlr_jax import main
sys.exit(main.cli(sys.argv))
"""


class Done(NamedTuple):
  """What a process gave and said."""

  returncode: int
  stdout: str
  stderr: str


class Forks:
  """A process that is forked for each call."""

  def __init__(self):
    self._folder = tempfile.TemporaryDirectory()
    self._process = subprocess.Popen(
      [sys.executable, "-c", SERVER],
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
      cwd=ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def run(self, code, *calls, **environment):
    """Runs code at once for each list of arguments; returns what each did."""
    files = [
      [
        pathlib.Path(self._folder.name, f"{i}.{name}")
        for name in ("out", "err")
      ]
      for i in range(len(calls))
    ]
    requests = [
      [code, list(map(str, arguments)), environment, list(map(str, paths))]
      for arguments, paths in zip(calls, files, strict=True)
    ]
    self._process.stdin.write(json.dumps(requests) + "\n")
    self._process.stdin.flush()
    codes = json.loads(self._process.stdout.readline())
    return [
      Done(code, *(path.read_text() for path in paths))
      for code, paths in zip(codes, files, strict=True)
    ]

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._folder.cleanup()


@functools.cache
def shared() -> Forks:
  """Returns the process that all tests of this process fork."""
  found = Forks()
  atexit.register(found.close)
  return found
