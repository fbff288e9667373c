import shutil

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training.checkpoint import Checkpoints


def state(value=1.0, shape=(3,), dtype=jnp.float32):
  return {
    "params": {"kernel": jnp.full(shape, value, dtype)},
    "step": jnp.asarray(int(value), jnp.int32),
  }


def iterator():
  return iter(grain.MapDataset.range(100).shuffle(seed=3).to_iter_dataset())


@pytest.fixture
def saved(tmp_path):
  """Checkpoints at steps 1 to 4, the best validation mAP at step 2."""
  checkpoints, data = Checkpoints(tmp_path), iterator()
  for step, score in enumerate((10.0, 50.0, 30.0, 40.0), start=1):
    next(data)
    checkpoints.save(step, state(step), data, score)
  checkpoints.close()
  return tmp_path


def test_the_best_and_the_newest_are_kept(saved):
  kept = sorted(int(p.name) for p in saved.iterdir() if p.name.isdigit())
  assert kept == [2, 4]
  checkpoints = Checkpoints(saved)
  assert checkpoints.latest_step == 4
  assert checkpoints.best_step == 2


def test_state_and_place_in_the_data_come_back(saved):
  mesh, data = parallel.make_mesh(), iterator()
  back = Checkpoints(saved).restore(2, state(0), mesh, data)
  np.testing.assert_array_equal(back["params"]["kernel"], np.full(3, 2.0))
  assert int(back["step"]) == 2
  expected = iterator()
  next(expected), next(expected)
  assert next(data) == next(expected)


def test_a_checkpoint_without_a_score_is_the_newest_and_not_the_best(saved):
  checkpoints = Checkpoints(saved)
  checkpoints.save(5, state(5), iterator())
  checkpoints.close()
  again = Checkpoints(saved)
  assert again.latest_step == 5
  assert again.best_step == 2


def test_without_checkpoints_there_is_no_step(tmp_path):
  checkpoints = Checkpoints(tmp_path / "none")
  assert checkpoints.latest_step is None
  assert checkpoints.best_step is None


@pytest.mark.parametrize(
  ("target", "words"),
  [
    (state(shape=(4,)), r"params/kernel is \(\(3,\).*\(\(4,\)"),
    (state(dtype=jnp.bfloat16), "float32.*bfloat16"),
    (state() | {"more": jnp.ones(2)}, "more is absent"),
  ],
)
def test_another_model_is_refused_not_cast(saved, target, words):
  with pytest.raises(UserError, match=words):
    Checkpoints(saved).restore(4, target, parallel.make_mesh())


def test_a_damaged_checkpoint_is_one_clear_error(saved):
  for folder in (saved / "4" / "state").iterdir():
    if folder.is_dir():
      shutil.rmtree(folder)
  with pytest.raises(UserError, match=r"/4 .*older one"):
    Checkpoints(saved).restore(4, state(), parallel.make_mesh())


def test_saving_leaves_the_memory_of_the_state_free(tmp_path):
  """The next step takes the state's memory while the save still runs."""
  take = jax.jit(
    lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0
  )
  checkpoints, now = Checkpoints(tmp_path), state(1)
  checkpoints.save(1, now, iterator(), 1.0)
  for _ in range(5):
    now = take(now)
  checkpoints.close()
  back = Checkpoints(tmp_path).restore(1, state(), parallel.make_mesh())
  np.testing.assert_array_equal(back["params"]["kernel"], np.ones(3))
