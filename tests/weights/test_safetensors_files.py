"""Safetensors files, whole and damaged, and telling the layouts apart."""

import contextlib
import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import safetensors_files, state_dict
from tests.paths import GOLDEN

NAMES = {
  "float64": "F64",
  "float32": "F32",
  "float16": "F16",
  "bfloat16": "BF16",
  "int64": "I64",
  "uint8": "U8",
  "bool": "BOOL",
}


def whole_file(arrays, pad=0):
  """Builds a file from the published layout, not with the library."""
  header, data = {"__metadata__": {"format": "pt"}}, b""
  for name, array in arrays.items():
    begin, data = len(data), data + array.tobytes()
    header[name] = {
      "dtype": NAMES[array.dtype.name],
      "shape": array.shape,
      "data_offsets": [begin, len(data)],
    }
  text = json.dumps(header).encode()
  text += b" " * pad
  return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def arrays(rng):
  values = rng.normal(size=(2, 3))
  return {
    "double": values,
    "conv.weight": values.astype(np.float32),
    "half": values.astype(np.float16),
    "brain": values.astype(ml_dtypes.bfloat16),
    "count": np.array(7),
    "bytes": np.arange(5, dtype=np.uint8),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
  }


@pytest.fixture
def path(tmp_path):
  return tmp_path / "model.safetensors"


def test_reads_every_type(arrays, path):
  path.write_bytes(whole_file(arrays))
  found = safetensors_files.state_dict(path)
  assert set(found) == set(arrays)
  for name, value in arrays.items():
    wide = np.float32 if name == "brain" else value.dtype
    assert found[name].dtype == wide
    assert found[name].flags.c_contiguous
    np.testing.assert_array_equal(found[name], value.astype(wide))


def test_arrays_outlive_the_file(arrays, path):
  path.write_bytes(whole_file(arrays))
  found = safetensors_files.state_dict(str(path))
  path.write_bytes(b"\xff" * path.stat().st_size)
  np.testing.assert_array_equal(found["double"], arrays["double"])
  found["double"] += 1


def test_agrees_with_the_library(arrays, path):
  del arrays["brain"]
  safetensors.numpy.save_file(arrays, path)
  found = safetensors_files.state_dict(path)
  for name, value in arrays.items():
    np.testing.assert_array_equal(found[name], value)


def test_takes_module_off_where_all_names_have_it(arrays, path):
  path.write_bytes(whole_file({f"module.{k}": v for k, v in arrays.items()}))
  assert set(safetensors_files.state_dict(path)) == set(arrays)
  some = {"module.a": arrays["half"], "b": arrays["half"]}
  path.write_bytes(whole_file(some))
  assert set(safetensors_files.state_dict(path)) == set(some)


def test_refuses_a_file_that_is_cut_anywhere(arrays, path):
  whole = whole_file(arrays)
  for length in (*range(0, len(whole), 13), len(whole) - 1):
    path.write_bytes(whole[:length])
    with pytest.raises(UserError, match=r"model\.safetensors.*Fetch"):
      safetensors_files.state_dict(path)


@pytest.mark.parametrize("length", [0, 10, 10**6, 10**12, 2**64 - 1])
def test_refuses_a_header_whose_length_lies(arrays, path, length):
  path.write_bytes(struct.pack("<Q", length) + whole_file(arrays)[8:])
  with pytest.raises(UserError, match=r"model\.safetensors.*Fetch"):
    safetensors_files.state_dict(path)


@pytest.mark.parametrize(
  "change",
  [
    {"shape": [2, 4]},
    {"shape": [2**40, 2**40]},
    {"shape": [-2, -3]},
    {"data_offsets": [0, 23]},
    {"data_offsets": [24, 48]},
    {"dtype": "F3"},
    {"dtype": "F8_E4M3", "shape": [24]},
  ],
)
def test_refuses_an_entry_that_lies(path, change):
  entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | change
  text = json.dumps({"a": entry}).encode()
  path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 24)
  with pytest.raises(UserError, match=r"model\.safetensors"):
    safetensors_files.state_dict(path)


def test_a_damaged_byte_is_an_error_or_plain_data(arrays, path, rng):
  whole = bytearray(whole_file(arrays))
  for place in rng.integers(0, len(whole), 200):
    damaged = whole.copy()
    damaged[place] = rng.integers(256)
    path.write_bytes(damaged)
    with contextlib.suppress(UserError):  # and no other exception
      safetensors_files.state_dict(path)


@pytest.mark.parametrize(
  "read", [safetensors_files.state_dict, state_dict.read_state_dict]
)
def test_says_what_is_missing(tmp_path, path, read):
  with pytest.raises(UserError, match=r"model\.safetensors.*No such file"):
    read(path)
  with pytest.raises(UserError, match="directory"):
    read(tmp_path)
  path.write_bytes(whole_file({}))
  with pytest.raises(UserError, match="got none"):
    read(path)


@pytest.mark.parametrize("name", ["zip_format", "legacy_format"])
def test_tells_torch_files_by_their_content(golden, tmp_path, name):
  disguised = tmp_path / "weights.safetensors"
  disguised.write_bytes((GOLDEN / f"{name}.pth").read_bytes())
  found = state_dict.read_state_dict(disguised)
  expected = golden("torch_files_expected")
  assert found
  for key, value in found.items():
    np.testing.assert_array_equal(value, expected[f"state_dict/{key}"])


def test_tells_safetensors_by_their_content(arrays, tmp_path):
  disguised = tmp_path / "weights.pth"
  # A header of n * 256 + 128 bytes makes the file begin like a pickle.
  whole = whole_file(arrays, (0x80 - whole_file(arrays)[0]) % 256)
  disguised.write_bytes(whole)
  assert whole[:1] == b"\x80"
  assert set(state_dict.read_state_dict(disguised)) == set(arrays)


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b"", "begins with b''"),
    (b"<!doctype html><html>", "doctype"),
    (b"version https://git-lfs.github.com/spec/v1\n", "pointer"),
    (b"\x93NUMPY" + b"\0" * 300, "fetch the file itself"),
    (b"PK\x03\x04" + b"\0" * 300, "damaged"),
    (b"a" * 257 + b"ustar" + b"\0" * 100, "tar layout"),
  ],
)
def test_refuses_other_files(tmp_path, content, words):
  path = tmp_path / "weights.pth"
  path.write_bytes(content)
  with pytest.raises(UserError, match=rf"weights\.pth.*{words}"):
    state_dict.read_state_dict(path)
