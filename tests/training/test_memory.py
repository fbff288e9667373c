"""The training state exists once, at the start and where a run goes on."""

import gc
import os
import signal

import jax
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import Preempted
from causal_mlr_jax.training import loop, predict
from causal_mlr_jax.training.metrics_writer import Writer
from tests import small


def buffers(arrays):
  """Bytes by the place of each buffer: several arrays may share one."""
  return {x.unsafe_buffer_pointer(): x.nbytes for x in arrays}


@pytest.mark.slow
@pytest.mark.optimised
def test_one_copy_of_the_state_is_alive(data_dir, tmp_path, monkeypatch):
  config = small.config(
    "baseline",
    data_dir,
    **{
      "backbone.width": 32,
      "train.batch_size": 8,
      "train.log_every": 1,
      "data.test_splits": ("test",),
    },
  )
  workdir = str(tmp_path / "run")
  before = buffers(jax.live_arrays())
  seen = []

  def spied(function):
    def spy(step, state, *args):
      gc.collect()
      alive = buffers(jax.live_arrays())
      alive = sum(alive[place] for place in alive.keys() - before.keys())
      seen.append((alive, sum(buffers(jax.tree.leaves(state)).values())))
      return function(step, state, *args)

    return spy

  def stop(*_):
    os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(loop, "fit", spied(loop.fit))
  monkeypatch.setattr(predict, "predict_split", spied(predict.predict_split))
  with monkeypatch.context() as patch:
    patch.setattr(Writer, "write", stop)
    for _ in ("started", "gone on with"):
      with pytest.raises(Preempted):
        run.run(config, workdir, "train")
  run.run(config, workdir, "evaluate")
  assert len(seen) == 3
  # What else there is, an image or two, is small.
  for alive, needed in seen:
    assert needed <= alive < 1.05 * needed, seen
