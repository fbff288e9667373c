"""Settings of the whole suite: strict JAX and a compilation cache."""

import os
import pathlib

from tests.paths import GOLDEN, ROOT

# Before JAX is imported: tests run on the CPU, and compile once. Each process
# of the suite has a cache of its own: JAX's is not made for several writers.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
CACHE = pathlib.Path(
  os.environ.get("JAX_COMPILATION_CACHE_DIR") or ROOT / ".cache" / "jax",
  os.environ.get("PYTEST_XDIST_WORKER", ""),
)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# No test is timed: a first example compiles, and machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def golden():
  """Loads a golden file by name as a dict of arrays."""

  def load(name):
    with np.load(GOLDEN / f"{name}.npz") as file:
      return {key: file[key] for key in file.files}

  return load


@pytest.fixture
def rng():
  """A numpy generator with a fixed seed."""
  return np.random.default_rng(0)
