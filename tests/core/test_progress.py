import os
import pty
import re
import subprocess
import sys

from causal_mlr_jax.core import progress

CODE = """
import time
from causal_mlr_jax.core import progress
with progress.bar("training", 64) as outer:
  for step in range(4):
    outer.advance(16, step=step + 1, loss=0.5)
    with progress.bar("evaluating", 8) as inner:
      inner.advance(8)
"""


def test_plain_lines_where_there_is_no_terminal(capsys):
  with progress.bar("features", 10, done=4) as bar:
    bar.advance(2)
    bar.advance(4, loss=0.25)
  err = capsys.readouterr().err
  found = re.search(r"features: 10/10 +(\d+) images/s .*loss 0.25  left 0", err)
  assert found, err
  assert int(found[1]) > 0


def test_one_bar_within_another_in_a_terminal():
  main, other = pty.openpty()
  environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
  result = subprocess.run(
    [sys.executable, "-W", "error", "-c", CODE],
    stdout=subprocess.PIPE,
    stderr=other,
    env=environment,
    timeout=60,
    check=False,
  )
  os.close(other)
  shown = b""
  while True:
    try:
      part = os.read(main, 65536)
    except OSError:  # what Linux says at the end of a terminal
      break
    if not part:
      break
    shown += part
  os.close(main)
  text = shown.decode()
  assert result.returncode == 0, text
  assert "64/64" in text
  assert "loss 0.5" in text
  assert "evaluating" in text
  assert "Traceback" not in text
