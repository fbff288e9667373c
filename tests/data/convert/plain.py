"""A data set of plain files, to convert in tests."""

import hashlib
import os
import pathlib
import types

import numpy as np

from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.convert import image_builder
from causal_mlr_jax.data.formats.raw_dataset import Item, Source
from tests.data.builders import official

LABELS = ("a", "b", "c")
MODES = ("RGB", "L", "RGBA", "1", "P")  # of the PNG files


def read_plain(manual_dir, options):
  """Each file is an image, and its name holds its labels: '07_ac.jpg'."""

  def items(split):
    for path in sorted((manual_dir / split).iterdir()):
      names = path.stem.partition("_")[2]
      labels = np.array([label in names for label in LABELS], np.uint8)
      yield Item(path, labels, path.stem)

  return Source(
    labels=LABELS,
    biased_pairs=(("a", "c"),),
    splits={split: list(items(split)) for split in ("train", "test")},
    description="Files.",
    metadata={"origin": "here"},
  )


PLAIN = types.SimpleNamespace(
  read_source=read_plain,
  LAYOUT="  train/*  and  test/*",
  OPTIONS={"size": 3, "part": 0.5, "names": ("x",), "kind": "k", "flag": True},
)


def write(folder):
  """Writes images in all forms that are kept; returns the folder."""
  for split, count in (("train", 23), ("test", 6)):
    (folder / split).mkdir(parents=True)
    for k in range(count):
      names = "".join(x for i, x in enumerate(LABELS) if (k + 1) >> i & 1)
      data, kind = official.jpeg(k), "jpg"
      if k % 5 == 0:
        image = official.picture(k).convert(MODES[k // 5])
        data, kind = official.encoded(image, "PNG"), "png"
      (folder / split / f"{k:02d}_{names}.{kind}").write_bytes(data)
  return folder


def make(files, data, options=None, bad=0, module=PLAIN):
  return image_builder.make(
    "plain", module, pathlib.Path(data), str(files), options or {}, bad
  )


def prepare(files, data, **kwargs):
  builder = make(files, data, **kwargs)
  dataset_lib.prepare(builder)
  return dataset_lib.open_prepared(builder)


def digests(data):
  """A digest of every file of a prepared data set, and of nothing else."""
  found = {
    os.fspath(path.relative_to(data)): hashlib.sha256(path.read_bytes())
    for path in sorted(pathlib.Path(data).rglob("*"))
    if path.is_file()
  }
  return {name: digest.hexdigest() for name, digest in found.items()}


# Ends itself with a signal when so many shards have been written, at a point
# of writing the next one.
SCRIPT = """
import os, pathlib, signal, sys
from causal_mlr_jax.data import dataset
from causal_mlr_jax.data.convert import image_builder, shards
from tests.data.convert import plain

shards.IMAGES_A_SHARD = 4
files, data, *how = sys.argv[1:]
calls = 0

def then_end(function, after):
  def wrapper(*args, **kwargs):
    global calls
    calls += 1
    if calls > after:
      os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **kwargs)
  return wrapper

if how:
  owner, name = {
    "records": (shards.tfds_files, "write_records"),
    "note": (shards.atomic_files, "write_json"),
    "metadata": (shards.tfds_files, "write_metadata"),
    "move": (pathlib.Path, "rename"),
    "remove": (image_builder.shutil, "rmtree"),
  }[how[0]]
  setattr(owner, name, then_end(getattr(owner, name), int(how[1])))
dataset.prepare(plain.make(files, data))
"""
