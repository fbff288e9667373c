"""Runs a snippet on forced host devices, in a process of its own.

The number of devices is fixed when JAX starts, so a test that wants eight
cannot have them in the suite's own process.
"""

import json
import os
import subprocess
import sys
import textwrap

from tests.paths import ROOT


def xla_flags(devices: int) -> str:
  """Returns the suite's own flags of XLA, and that for so many CPU devices."""
  flags = os.environ.get("XLA_FLAGS", "").split()
  name = "--xla_force_host_platform_device_count"
  flags = [flag for flag in flags if not flag.startswith(name)]
  return " ".join([*flags, f"{name}={devices}"])


def run_on_devices(code: str, devices: int = 8, timeout: float = 300):
  """Runs Python code on CPU devices and returns what it printed as JSON.

  The code starts with `jax`, `jnp`, `np` and `json` imported, rank promotion
  forbidden and warnings as errors, like the suite; its last line of output
  must be JSON, for example `print(json.dumps(result))`.
  """
  prelude = (
    "import json, jax, jax.numpy as jnp, numpy as np\n"
    "jax.config.update('jax_numpy_rank_promotion', 'raise')\n"
    f"assert jax.device_count() == {devices}, jax.devices()\n"
  )
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": os.pathsep.join(
      [str(ROOT), os.environ.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep),
    "XLA_FLAGS": xla_flags(devices),
  }
  result = subprocess.run(
    [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code)],
    env=environment,
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=timeout,
    check=False,
  )
  if result.returncode != 0:
    raise AssertionError(
      f"The snippet ended with {result.returncode} on {devices} devices:\n"
      f"{result.stdout}\n{result.stderr}"
    )
  return json.loads(result.stdout.strip().splitlines()[-1])
