"""Runs a snippet on forced host devices, in a fork of a process of its own.

The number of devices is fixed when JAX starts, so a test that wants eight
cannot have them in the suite's own process.
"""

import json
import os
import textwrap

import jax

from tests import forks


def xla_flags(devices: int) -> str:
  """Returns the suite's own flags of XLA, and that for so many CPU devices."""
  flags = os.environ.get("XLA_FLAGS", "").split()
  name = "--xla_force_host_platform_device_count"
  flags = [flag for flag in flags if not flag.startswith(name)]
  return " ".join([*flags, f"{name}={devices}"])


def run_on_devices(code: str, devices: int = 8, timeout: int = 300):
  """Runs Python code on CPU devices and returns what it printed as JSON.

  The code starts with `jax`, `jnp`, `np` and `json` imported, rank promotion
  forbidden and warnings as errors, like the suite; its last line of output
  must be JSON, for example `print(json.dumps(result))`. It is ended after
  `timeout` seconds.
  """
  quick = bool(jax.config.read("jax_disable_most_optimizations"))
  prelude = (
    "import json, signal, warnings, jax, jax.numpy as jnp, numpy as np\n"
    f"signal.alarm({timeout})\n"
    "warnings.simplefilter('error')\n"
    "jax.config.update('jax_numpy_rank_promotion', 'raise')\n"
    f"jax.config.update('jax_disable_most_optimizations', {quick})\n"
    f"assert jax.device_count() == {devices}, jax.devices()\n"
  )
  code = prelude + textwrap.dedent(code)
  (done,) = forks.shared().run(code, (), XLA_FLAGS=xla_flags(devices))
  if done.returncode != 0:
    raise AssertionError(
      f"The snippet ended with {done.returncode} on {devices} devices:\n"
      f"{done.stdout}\n{done.stderr}"
    )
  return json.loads(done.stdout.strip().splitlines()[-1])
