"""The real program in several processes of this machine, as under Slurm."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp

from tests.devices import xla_flags
from tests.paths import ROOT

# JAX derives the coordinator's port from the number of the Slurm job.
PORTS = range(65536 - 2**12, 65536)
# Far more than it takes: other work may share the machine.
TIMEOUT = 600
FLAGS = [
  "--config=configs/context_emoji.py:causal",
  "--config.data.variant=small",
  "--config.backbone.width=8",
  "--config.confounders.num=6",
  "--config.confounders.image_size=64",
  "--config.confounders.batch_size=48",
  "--config.train.batch_size=24",
  "--config.train.log_every=10",
  "--config.train.epochs=1",
  "--config.evaluate.batch_size=48",
  "--config.method.dropout=0",
]


def slurm(processes=2, devices=1):
  """The environment of each process of one Slurm job, on a port that is free.

  Args:
    processes: how many.
    devices: CPU devices of each.
  """
  job = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": xla_flags(devices),
    "SLURM_JOB_ID": str(_free_port() - PORTS.start),
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": str(processes),
  }
  return [
    os.environ | job | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}
    for i in range(processes)
  ]


def _free_port():
  while True:
    port = secrets.choice(PORTS)
    with socket.socket() as trial:
      try:
        trial.bind(("", port))
      except OSError:
        continue
    return port


def start(workdir, data_dir, flags=(), base=FLAGS, processes=1, **variables):
  """Starts the program in so many processes, with environment variables."""
  more = ["--distributed"] if processes > 1 else []
  command = [sys.executable, "-m", "causal_mlr_jax.main", *base, *flags, *more]
  folders = [f"--workdir={workdir}", f"--config.data.dir={data_dir}"]
  environments = [each | variables for each in slurm(processes)]
  return start_each([*command, *folders], environments)


def start_each(command, environments):
  """Starts a command once in each environment."""
  return [
    subprocess.Popen(
      command,
      env=environment,
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for environment in environments
  ]


def finish(processes, code=0, timeout=TIMEOUT):
  """Waits for processes that must end with a code; returns what each said."""
  try:
    said = [p.communicate(timeout=timeout)[0] for p in processes]
  finally:
    for process in processes:
      process.kill()
  codes = [process.returncode for process in processes]
  assert codes == [code] * len(processes), "\n".join(said)
  return said


def wait_until(there, processes):
  """Waits until something is there, while all processes live."""
  while not there():
    for process in processes:
      if process.poll() is not None:
        for other in processes:
          other.kill()
        raise AssertionError(process.communicate()[0])
    time.sleep(0.02)


def read_losses(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  return [row["loss"] for row in rows if "loss" in row]


def read_state(workdir, step):
  """The arrays of a checkpoint, however many devices have saved it."""
  folder = workdir / "checkpoints" / str(step) / "state"
  with ocp.PyTreeCheckpointer() as checkpointer:
    tree = checkpointer.metadata(folder).item_metadata.tree
    as_numpy = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree
    )
    return checkpointer.restore(folder, restore_args=as_numpy)


def read_metrics(workdir):
  report = workdir / "report" / "report.json"
  return json.loads(report.read_text())["metrics"]
