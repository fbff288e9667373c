"""Our code gives the numbers that the published implementations gave."""

import json
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import check, state_dict
from causal_mlr_jax.weights.mapping import published_methods
from causal_mlr_jax.weights.parity.golden import Golden, worst
from tests.paths import GOLDEN

FILES = sorted(GOLDEN.glob("*.npz"))
# One file of most kinds; the others take minutes to compile.
FAST = {
  "add_gcn",
  "asl_ccd",
  "asl_query2labels",
  "beit3",
  "beit3_position_resize",
  "c_tran",
  "ccd_stage1",
  "ccd_stage2",
  "exclusive_cooccur_ap",
  "feature_split",
  "ida_heavy",
  "map",
  "ml_gcn",
  "q2l",
  "ssgrl",
  "torch_files_expected",
}


def parameter(path):
  marks = [] if path.stem in FAST else [pytest.mark.slow]
  # See `small.slow` for TDRG. Of IDA with its backbone, gradients of the first
  # layer differ by 1e-3 without optimisation, and by 1e-5 with it.
  if path.stem.startswith("tdrg") or path.stem == "ida_full":
    marks.append(pytest.mark.optimised)
  return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [parameter(path) for path in FILES])
def test_the_file_passes(path):
  passed, line = check.check(str(path))
  assert passed, line
  assert line.startswith(f"{path}  ok  max abs err ")


def test_every_published_layout_has_a_file():
  methods = set(lookup.names(published_methods.LAYOUTS))
  cases = set()
  for path in FILES:
    case = check.find_case(Golden(path).case)
    cases.add(getattr(case, "METHOD", case.__name__.rpartition(".")[2]))
  assert methods <= cases


def changed(path, target, **arrays):
  with np.load(path) as file:
    values = {key: file[key] for key in file.files}
  np.savez(target, **(values | arrays))


# In the folder that the first argument names.
COMMAND = """
import os, runpy, sys
os.chdir(sys.argv.pop(1))
runpy.run_module("causal_mlr_jax.weights.check", run_name="__main__")
"""


def test_a_wrong_number_or_a_key_too_many_fails(forks, tmp_path):
  name = "ccd_stage1"
  good = GOLDEN / f"{name}.npz"
  with np.load(good) as file:
    logits, weight = file["output/logits"], file["state/clf.memory"]
  logits[0, 0] += 3e-4 * np.abs(logits).max()
  changed(good, tmp_path / "wrong.npz", **{"output/logits": logits})
  changed(good, tmp_path / "more.npz", **{"state/clf.other": weight})
  changed(good, tmp_path / "unknown.npz", **{"output/other": logits})
  files = "wrong.npz", "more.npz", "unknown.npz", "none.npz"
  (result,) = forks.run(COMMAND, (tmp_path, good, *files))
  assert result.returncode == 1
  assert result.stderr == ""
  lines = result.stdout
  assert f"{name}.npz  ok  max abs err" in lines
  assert "wrong.npz  FAILED" in lines
  assert "output/logits" in lines
  assert "unused: clf.other" in lines
  assert "not computed: output/other" in lines
  assert "none.npz  FAILED  Cannot read" in lines
  (passing,) = forks.run(COMMAND, (tmp_path, good))
  assert (passing.returncode, passing.stderr) == (0, "")


def test_not_a_number_never_passes():
  golden = Golden(GOLDEN / "ccd_stage1.npz")
  found = {key: golden.arrays[key] for key in golden.expected()}
  assert worst(golden, found).problems == []
  found["output/logits"] = np.full_like(found["output/logits"], np.nan)
  assert worst(golden, found).problems == ["not finite: output/logits"]


class Attack:
  """Unpickled by a careless reader, it runs a command."""

  def __reduce__(self):
    return os.system, ("touch trace",)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_a_file_that_calls_the_system_is_refused(layout, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = pathlib.Path("attack.pth")
  data = pickle.dumps({"state_dict": Attack()}, protocol=2)
  if layout == "zip":
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("attack/data.pkl", data)
  else:
    path.write_bytes(data)
  before = sorted(tmp_path.iterdir())
  with pytest.raises(UserError, match=r"system|not a PyTorch file|magic"):
    state_dict.read_state_dict(path)
  assert sorted(tmp_path.iterdir()) == before
  # The same bytes do run in a careless reader: the test can fail.
  pickle.loads(data)
  assert pathlib.Path("trace").exists()


def test_a_case_without_a_module_names_the_choices(tmp_path):
  meta = np.array(json.dumps({"case": "qwl"}))
  np.savez(tmp_path / "x.npz", meta=meta)
  passed, line = check.check(str(tmp_path / "x.npz"))
  assert not passed
  assert "Did you mean 'q2l'" in line
