"""The program in processes of its own that need not import it anew.

One process imports the program, and is then forked for each call: nothing of
one call is left for the next.
"""

import json
import os
import subprocess
import sys

from tests.devices import xla_flags
from tests.paths import ROOT

CODE = """
import json, os, sys, traceback, warnings
from causal_mlr_jax import main, run

warnings.filterwarnings("ignore", "os.fork")  # no device is in use yet

def call(arguments, environment, out, err):
  for number, path in ((1, out), (2, err)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
  os.environ.update(environment)
  sys.argv[1:] = arguments
  try:
    return main.cli(sys.argv)
  except BaseException:
    traceback.print_exc()
    return 1
  finally:
    sys.stdout.flush()
    sys.stderr.flush()

for line in sys.stdin:
  child = os.fork()
  if not child:
    code = 1
    try:
      code = call(**json.loads(line))
    finally:
      os._exit(code)
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Program:
  """A process that is forked for each call of the program."""

  def __init__(self, folder):
    self._files = {name: folder / name for name in ("out", "err")}
    self._process = subprocess.Popen(
      [sys.executable, "-c", CODE],
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
      cwd=ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def __call__(self, *arguments, devices=1):
    """Runs the program; returns exit code, stdout, stderr."""
    files = {name: str(path) for name, path in self._files.items()}
    environment = {"XLA_FLAGS": xla_flags(devices)}
    request = {"arguments": list(map(str, arguments)), **files}
    self._process.stdin.write(
      json.dumps(request | {"environment": environment}) + "\n"
    )
    self._process.stdin.flush()
    code = self._process.stdout.readline()
    return int(code), *(path.read_text() for path in self._files.values())

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
