"""The restricted reader against files that no honest program writes."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.torch_files import reader


class Name:
  """A global in a pickle that need not exist; calls are written, not made."""

  def __init__(self, module, name):
    self.module, self.name = module, name


class Call:
  """Pickles as a call of `function` with `args`."""

  def __init__(self, function, *args):
    self.function, self.args = function, args


class StorageId:
  """Pickles as the persistent id of a storage."""

  def __init__(self, kind, key, numel):
    self.kind, self.key, self.numel = kind, key, numel


class Writer(pickle._Pickler):
  """Writes what torch.save writes, and what it never would."""

  legacy = False

  def persistent_id(self, obj):
    if not isinstance(obj, StorageId):
      return None
    kind = Name("torch", f"{obj.kind}Storage")
    base = ("storage", kind, obj.key, "cpu", obj.numel)
    return (*base, None) if self.legacy else base

  def save(self, obj, save_persistent_id=True):
    if isinstance(obj, Name):
      self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
    elif isinstance(obj, Call):
      self.save(obj.function)
      self.save(obj.args)
      self.write(pickle.REDUCE)
    else:
      super().save(obj, save_persistent_id)


def pickled(obj, legacy=False):
  stream = io.BytesIO()
  writer = Writer(stream, 2)
  writer.legacy = legacy
  writer.dump(obj)
  return stream.getvalue()


def tensor(
  kind="Float", numel=6, size=(2, 3), stride=(3, 1), offset=0, key="0"
):
  rebuild = Name("torch._utils", "_rebuild_tensor_v2")
  storage = StorageId(kind, key, numel)
  return Call(rebuild, storage, offset, size, stride, False, {})


def write_zip(path, obj, data=bytes(24), extra=(), compression=0):
  with zipfile.ZipFile(path, "w", compression) as archive:
    archive.writestr("top/data.pkl", pickled(obj))
    archive.writestr("top/data/0", data)
    for name in extra:
      archive.writestr(f"top/{name}", b"")
  return path


def write_legacy(path, obj, data=bytes(24), count=6):
  magic, info = 0x1950A86A20F9469CFC6C, {"little_endian": True}
  parts = [pickled(part) for part in (magic, 1001, info)]
  parts += [pickled(obj, legacy=True), pickled(["0"])]
  path.write_bytes(b"".join(parts) + struct.pack("<q", count) + data)
  return path


WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])


@WRITERS
def test_reads_what_the_tests_write(tmp_path, write):
  data = np.arange(6, dtype="<f4").tobytes()
  obj = {
    "model": {
      "module.a": tensor(),
      "module.b": tensor(size=(3, 2), stride=(1, 3)),
      "module.c": tensor(size=(2, 0), stride=(1, 1)),
      "step": 7,
    },
    "scores": {1, 2},
  }
  found = reader.state_dict(write(tmp_path / "f.pth", obj, data))
  assert set(found) == {"a", "b", "c"}
  np.testing.assert_array_equal(found["a"], np.arange(6).reshape(2, 3))
  np.testing.assert_array_equal(found["b"], np.arange(6).reshape(2, 3).T)
  assert found["c"].shape == (2, 0)


# What a call of it would do is to write a file.
HOSTILE = {
  "posix.system": Call(Name("posix", "system"), "touch marker"),
  "builtins.eval": Call(Name("builtins", "eval"), "open('marker', 'w')"),
  "builtins.getattr": Call(Name("builtins", "getattr"), {}, "update"),
  "torch.load": Call(Name("torch", "load"), "marker"),
  "collections.OrderedDict.fromkeys": Name(
    "collections", "OrderedDict.fromkeys"
  ),
}


@WRITERS
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_refuses_code(tmp_path, monkeypatch, write, name):
  monkeypatch.chdir(tmp_path)
  path = write(tmp_path / "f.pth", {"a": tensor(), "b": HOSTILE[name]})
  with pytest.raises(UserError, match=f"asks for {name}.*nothing was run"):
    reader.read(path)
  assert os.listdir(tmp_path) == ["f.pth"]


class Touch:
  """Runs a command when it is unpickled as usual."""

  def __reduce__(self):
    return os.system, ("touch marker",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_refuses_a_reduce_in_every_protocol(tmp_path, monkeypatch, protocol):
  monkeypatch.chdir(tmp_path)
  with zipfile.ZipFile("f.pth", "w") as archive:
    archive.writestr("f/data.pkl", pickle.dumps([Touch()], protocol))
  with pytest.raises(UserError, match="system"):
    reader.read("f.pth")
  assert os.listdir(tmp_path) == ["f.pth"]


@WRITERS
@pytest.mark.parametrize(
  ("obj", "words"),
  [
    (tensor(stride=(1000, 1)), "does not fit"),
    (tensor(size=(2, 4)), "does not fit"),
    (tensor(offset=1), "does not fit"),
    (tensor(stride=(-3, 1)), "does not fit"),
    (tensor(offset=-1), "does not fit"),
    (tensor(size=(2,)), "does not fit"),
    (tensor(size=(2.0, 3)), "does not fit"),
    (tensor(size=(True, 3)), "does not fit"),
    (tensor(size=(2**40, 3), stride=(0, 1)), "more than 4 times"),
    ([tensor(size=(90, 3), stride=(0, 1))] * 99, "more than 4 times"),
    (tensor(numel=2**60, size=(2**60,), stride=(1,)), "declare"),
    (tensor(numel=-6), "other than a plain storage"),
    ([tensor(), tensor(kind="Double")], "two ways"),
    (Call(Name("torch", "FloatStorage"), 3), "only the name of a type"),
    (Call({}, 3), "not a name"),
    (
      Call(Name("torch._utils", "_rebuild_tensor_v2"), 1, 2, 3, 4),
      "no storage",
    ),
    ({((1, 2), (3,)): 1}, "key of type tuple"),
    (StorageId("Quantized", "0", 6), "Quantized"),
  ],
)
def test_refuses_lies_about_memory(tmp_path, write, obj, words):
  with pytest.raises(UserError, match=words):
    reader.read(write(tmp_path / "f.pth", {"a": obj}))


@WRITERS
def test_refuses_a_storage_of_another_length(tmp_path, write):
  path = write(tmp_path / "f.pth", {"a": tensor()}, data=bytes(20))
  with pytest.raises(UserError, match="declared"):
    reader.read(path)


def test_refuses_an_element_count_that_differs(tmp_path):
  path = write_legacy(tmp_path / "f.pth", {"a": tensor()}, count=2**62)
  with pytest.raises(UserError, match="elements"):
    reader.read(path)


def test_refuses_a_deep_pickle(tmp_path):
  deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
  with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
    archive.writestr("f/data.pkl", deep)
  with pytest.raises(UserError, match="RecursionError"):
    reader.read(tmp_path / "f.pth")


@pytest.mark.parametrize(
  "end",
  [
    b"\x88s.",  # d[deep] = True
    b"\x93.",  # a global whose name is deep
  ],
)
def test_a_deep_key_does_not_end_the_process(tmp_path, end):
  # Python's own hash of so deep a tuple overflows a stack of 8 MiB.
  deep = b"\x80\x04}X\x01\0\0\0a" + b"\x85" * 300_000 + end
  with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
    archive.writestr("f/data.pkl", deep)
  with pytest.raises(UserError):
    reader.read(tmp_path / "f.pth")


def test_an_archive_that_lies_about_a_length_is_refused(tmp_path):
  """The central directory declares 24 bytes of which 4 are there."""
  path = write_zip(tmp_path / "f.pth", {"a": tensor()}, data=bytes(4))
  content = bytearray(path.read_bytes())
  at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"top/data/0"))
  content[at + 24 : at + 28] = struct.pack("<I", 24)
  path.write_bytes(content)
  with pytest.raises(UserError, match="cut short"):
    reader.read(path)


def test_shared_parts_are_visited_once(tmp_path):
  shared = [tensor()]
  for _ in range(60):
    shared = [shared, shared]
  found = reader.read(write_zip(tmp_path / "f.pth", shared))
  assert found[0] is found[1]


def test_refuses_other_kinds_of_file(tmp_path):
  obj = {"a": tensor()}
  path = tmp_path / "f.pth"
  write_zip(path, obj, extra=["constants.pkl"])
  with pytest.raises(UserError, match="TorchScript"):
    reader.read(path)
  write_zip(path, obj, data=bytes(24), compression=zipfile.ZIP_DEFLATED)
  with pytest.raises(UserError, match="compressed"):
    reader.read(path)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a.txt", b"")
  with pytest.raises(UserError, match="not a PyTorch file"):
    reader.read(path)
  path.write_bytes(bytes(257) + b"ustar" + bytes(250))
  with pytest.raises(UserError, match="tar"):
    reader.read(path)
  path.write_bytes(b"hello")
  with pytest.raises(UserError, match="not a PyTorch file"):
    reader.read(path)
  path.write_bytes(pickle.dumps(3))
  with pytest.raises(UserError, match="not a PyTorch file"):
    reader.read(path)


def test_refuses_a_file_without_weights(tmp_path):
  path = write_zip(tmp_path / "f.pth", {"epoch": 3})
  with pytest.raises(UserError, match=r"No state dict.*epoch"):
    reader.state_dict(path)
