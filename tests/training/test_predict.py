from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.training import predict


def batches(order, size=4):
  for start in range(0, len(order), size):
    index = np.asarray(order[start : start + size], np.int32)
    mask = (index >= 0).astype(np.float32)
    yield {
      "image": np.zeros((len(index), 2, 2, 3), np.uint8),
      "labels": np.stack([index % 2, index % 3], 1).astype(np.float32),
      "mask": mask,
      "index": np.maximum(index, 0),
    }


def run(order, size):
  def step(variables, batch, side):
    del variables, side
    return jnp.stack([batch["index"], -batch["index"]], 1).astype(jnp.float32)

  return predict.predict_split(
    step, {}, {}, batches(order), size, parallel.make_mesh(), "evaluating"
  )


def test_scores_come_in_the_order_of_the_split_without_padding():
  scores, labels = run([3, 0, 2, 1, 5, 4, -1, -1], 6)
  np.testing.assert_array_equal(scores[:, 0], np.arange(6))
  np.testing.assert_array_equal(labels[:, 0], np.arange(6) % 2)


@pytest.mark.parametrize("order", [[0, 1, 2, 2], [0, 1, 2, -1]])
def test_an_image_twice_or_never_is_an_error(order):
  with pytest.raises(AssertionError, match="scores for 4 examples"):
    run([*order, -1, -1, -1, -1], 4)


def test_averaged_or_plain_variables():
  state = SimpleNamespace(
    params=1,
    model_state={"batch_stats": 2},
    ema_params=3,
    ema_model_state={"batch_stats": 4},
  )
  plain = predict.evaluation_variables(state, use_ema=False)
  averaged = predict.evaluation_variables(state, use_ema=True)
  assert plain == {"params": 1, "batch_stats": 2}
  assert averaged == {"params": 3, "batch_stats": 4}
