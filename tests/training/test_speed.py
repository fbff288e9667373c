from causal_mlr_jax.training.speed import Speed


def test_steps_and_waiting_since_the_last_line():
  speed, batches = Speed(), iter("abc")
  assert speed.read(8) == {}
  assert [speed.next(batches), speed.next(batches)] == ["a", "b"]
  found = speed.read(8)
  assert found["images_per_second"] > 0
  assert 0 <= found["waiting_percent"] <= 100
  assert speed.read(8) == {}
  assert speed.next(batches) == "c"
  assert speed.read(8)["images_per_second"] > 0
