"""The restricted reader: every layout, whole and damaged."""

import contextlib

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.torch_files import reader
from causal_mlr_jax.weights.torch_files.pickle_globals import Inert
from tests.paths import GOLDEN

WRAPPED = (
  "zip_format",
  "zip_big_endian",
  "zip_no_byteorder",
  "legacy_format",
)
PARTS = {
  **dict.fromkeys(WRAPPED, "state_dict"),
  "module_state_zip": "module_state",
  "module_state_legacy": "module_state",
  "old_layout_legacy": "old_layout",
}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_reads_every_layout(golden, name):
  part = PARTS[name] + "/"
  expected = {
    key.removeprefix(part): value
    for key, value in golden("torch_files_expected").items()
    if key.startswith(part)
  }
  found = reader.state_dict(GOLDEN / f"{name}.pth")
  assert set(found) == set(expected)
  for key, value in expected.items():
    assert found[key].dtype == value.dtype
    assert found[key].flags.c_contiguous
    np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("name", WRAPPED)
def test_other_objects_are_inert(name):
  found = reader.read(GOLDEN / f"{name}.pth")
  assert found["epoch"] == 3
  assert isinstance(found["args"], Inert)
  assert found["args"].state == {"lr": 0.1}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_refuses_a_file_that_is_cut_anywhere(tmp_path, name):
  whole = (GOLDEN / f"{name}.pth").read_bytes()
  path = tmp_path / "f.pth"
  for length in range(0, len(whole), 37):
    path.write_bytes(whole[:length])
    with pytest.raises(UserError, match=r"f\.pth"):
      reader.read(path)


@pytest.mark.parametrize("name", ["zip_format", "legacy_format"])
def test_a_damaged_byte_is_an_error_or_plain_data(tmp_path, rng, name):
  whole = bytearray((GOLDEN / f"{name}.pth").read_bytes())
  path = tmp_path / "f.pth"
  for place in rng.integers(0, len(whole), 200):
    damaged = whole.copy()
    damaged[place] = rng.integers(256)
    path.write_bytes(damaged)
    with contextlib.suppress(UserError):  # and no other exception
      reader.read(path)


def test_says_what_is_missing(tmp_path):
  with pytest.raises(UserError, match=r"nothing\.pth.*No such file"):
    reader.read(tmp_path / "nothing.pth")
  with pytest.raises(UserError, match="directory"):
    reader.read(tmp_path)
