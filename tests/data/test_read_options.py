"""What reading a data set may use."""

import dataclasses

import joblib
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline, read_options
from causal_mlr_jax.data.read_options import Reading
from configs import common


def test_a_process_alone_has_a_thread_for_each_core(capsys):
  own = joblib.cpu_count()
  found = read_options.with_thread_count(Reading())
  assert found == Reading(max(own, 2))
  assert f"cores of this process: {own}" in capsys.readouterr().err


def test_the_keys_say_how_many_threads_and_how_much_memory(capsys):
  section = common.data()
  section.update(threads=24, cache_mib=3)
  found = read_options.with_thread_count(read_options.from_config(section))
  assert found == Reading(24, 3 * 2**20)
  assert "input: 24 threads" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["threads", "cache_mib"])
def test_a_negative_number_is_named(key):
  section = common.data()
  section[key] = -1
  with pytest.raises(UserError, match=rf"data\.{key} = -1: expected 0 or more"):
    read_options.from_config(section)


@pytest.mark.parametrize("mib", [0, 5])
def test_that_images_are_kept_is_said(mib, dataset, capsys):
  dataset = dataclasses.replace(dataset, reading=Reading(2, mib * 2**20))
  capsys.readouterr()
  pipeline.train_batches(dataset, "train", "decode|flip_lr", 8, seed=0)
  line = "input: decoded images of train are kept, up to 5 MiB\n"
  assert capsys.readouterr().err == (line if mib else "")
