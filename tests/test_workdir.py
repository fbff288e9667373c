"""The folder of a run, also while other processes look at it."""

import dataclasses

import pytest

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.workdir import Workdir, as_json
from configs import context_emoji

PROCESSES, CHECKS = 4, 200
# Waits for the others, so that all of them check at once.
SNIPPET = f"""
import pathlib, sys, time
from causal_mlr_jax import workdir
from causal_mlr_jax.core.errors import UserError
from configs import context_emoji

config, refusals = context_emoji.get_config("baseline"), []
folder, meeting = workdir.Workdir(sys.argv[1]), pathlib.Path(sys.argv[2])
(meeting / sys.argv[3]).touch()
while len(list(meeting.iterdir())) < {PROCESSES}:
  time.sleep(0.001)
for _ in range({CHECKS}):
  try:
    folder.check(config)
  except UserError as error:
    refusals.append(str(error))
print(len(refusals), *refusals[:1])
"""


def test_processes_that_check_one_folder_do_not_refuse_it(forks, tmp_path):
  meeting = tmp_path / "meeting"
  meeting.mkdir()
  calls = [(tmp_path / "run", meeting, i) for i in range(PROCESSES)]
  said = [done.stdout for done in forks.run(SNIPPET, *calls)]
  assert said == ["0\n"] * PROCESSES
  assert list((tmp_path / "run").iterdir()) == []


def test_processes_must_see_one_workdir_and_one_data_set(tmp_path, monkeypatch):
  folder = Workdir(str(tmp_path))
  ours = Dataset("world", ("a", "b"), (), {}, {}, "ours")
  with monkeypatch.context() as patch:
    patch.setattr("jax.process_index", lambda: 1)
    with pytest.raises(UserError, match=r"Process 1 does not find.*all hosts"):
      folder.check_data(ours)
  assert not folder.data.exists()
  folder.check_data(ours)
  folder.check_data(ours)
  other = dataclasses.replace(ours, fingerprint="other")
  with pytest.raises(UserError, match="ours there, other in"):
    folder.check_data(other)


def test_a_run_goes_on_with_other_threads_and_memory_for_reading(tmp_path):
  config = context_emoji.get_config("baseline")
  folder = Workdir(str(tmp_path))
  earlier = as_json(config)
  for key in ("threads", "cache_mib"):  # an earlier version has not these keys
    del earlier["data"][key]
  atomic_files.write_json(folder.config, earlier)
  folder.check(config)
  config.data.update(threads=7, cache_mib=0)
  folder.check(config)
