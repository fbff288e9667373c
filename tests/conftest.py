"""Settings of the whole suite: strict JAX, quick compilation, shared data."""

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
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Most of the time is compilation. It takes half without optimisation, here and
# in the processes that tests start, see `optimised` for exceptions; and half of
# that where XLA emits fused loops as LLVM's code at once. The variable set to 0
# compiles all of the suite as users' programs are.
UNOPTIMISED = "JAX_DISABLE_MOST_OPTIMIZATIONS"
os.environ.setdefault(UNOPTIMISED, "1")
QUICK = os.environ[UNOPTIMISED] == "1"
if QUICK:
  os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_use_fusion_emitters=false"]
  ).strip()

import hypothesis  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests import quick_random  # noqa: E402

if QUICK:
  quick_random.install()

# They begin first: whoever takes one at the end keeps all others waiting.
LONGEST = (
  "test_run",
  "test_contract",
  "test_effects",
  "test_methods_in_two_processes",
  "test_causal",
  "test_check",
  "test_init_from",
  "test_confounders",
  "test_kmeans",
  "test_parallel_step",
  "test_feature_split",
  "test_cam_based",
  "test_audit",
  "test_interventions",
  "test_tdrg",
  "test_precision",
)

# No test is timed: a first example compiles, and machines are shared.
hypothesis.settings.register_profile("thorough", deadline=None)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=15)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
  """Tries fewer examples of properties unless slow tests are asked for."""
  if not config.getoption("--hypothesis-profile"):
    fast = config.getoption("markexpr") == "not slow"
    hypothesis.settings.load_profile("fast" if fast else "thorough")


def pytest_collection_modifyitems(items):
  """Puts the longest modules first, in the order that workers take them."""
  places = {name: place for place, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(autouse=True)
def optimised(request, monkeypatch):
  """Compiles as a user's program does where the marker of that name says so."""
  if request.node.get_closest_marker("optimised") is None:
    yield
    return
  monkeypatch.setenv(UNOPTIMISED, "0")
  before = jax.config.read("jax_disable_most_optimizations")
  jax.config.update("jax_disable_most_optimizations", False)
  yield
  jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
  """Makes a folder once for all workers: made_once(name, make) -> path."""
  from causal_mlr_jax.core import locks

  root = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    root = root.parent

  def made(name, make):
    path, partial = root / name, root / f"{name}.partial"
    with locks.held(root / f".{name}.lock", f"makes {name}"):
      if not path.exists():
        make(partial)
        partial.rename(path)
    return path

  return made


@pytest.fixture(scope="session")
def data_dir(made_once):
  """A folder with the small variant prepared; not to be changed."""
  from tests import small  # takes seconds to import

  return made_once("small_data", small.dataset)


@pytest.fixture(scope="session")
def causal_run(made_once, data_dir):
  """The folder of a whole run of `causal`; not to be changed."""
  from causal_mlr_jax import run
  from tests import small

  config = small.config("causal", data_dir, **{"evaluate.page": True})
  return made_once("causal_run", lambda to: run.run(config, str(to), "train"))


@pytest.fixture(scope="session")
def exported_run(made_once, causal_run):
  """The folder of `causal_run` exported in all formats; not to be changed."""
  from causal_mlr_jax.inference.request import Request
  from causal_mlr_jax.uses import use

  def make(to):
    use.use(str(causal_run), "export", Request(output=str(to)))

  return made_once("exported_run", make)


@pytest.fixture(scope="session")
def baseline_run(made_once, data_dir):
  """The folder of a short run of `baseline`, see `small.SHORT`."""
  from causal_mlr_jax import run
  from tests import small

  config = small.config("baseline", data_dir, **small.SHORT)
  return made_once("baseline_run", lambda to: run.run(config, str(to), "train"))


@pytest.fixture(scope="session")
def dataset(data_dir):
  """The small variant, prepared."""
  from tests import small

  return small.dataset(data_dir)


@pytest.fixture
def forks():
  """A process with the program imported, to run code in forks of it."""
  from tests.forks import shared

  return shared()


@pytest.fixture
def program(forks):
  """The program as a user starts it; returns exit code, stdout, stderr."""
  from tests.devices import xla_flags
  from tests.forks import PROGRAM

  def call(*arguments, devices=1):
    (done,) = forks.run(PROGRAM, arguments, XLA_FLAGS=xla_flags(devices))
    return done

  return call


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
