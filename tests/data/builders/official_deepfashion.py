"""Writes a small DeepFashion in the format of the official files."""

import numpy as np
from PIL import Image

# In the order of the official list; each is one of a published pair or not.
NAMES = ("a-line", "lace", "bell", "denim jacket", "print", "animal")
KINDS = (3, 2, 4, 5, 1, 1)


def attributes(rng, images, frequent=(0.5, 0.4, 0.3, 0.2, 0.35, 0.1)):
  """Values -1, 0 and 1 for each image."""
  draws = rng.random((images, len(frequent)))
  unknown = rng.random(draws.shape) < 0.2
  return np.where(draws < frequent, 1, np.where(unknown, 0, -1))


def write(
  root,
  values,
  splits,
  names=NAMES,
  kinds=KINDS,
  annotations="Anno_coarse",
  images="img",
  slash="/",
  end="\n",
):
  """Writes all files below `root`; returns the images' paths.

  Args:
    root: folder.
    values: -1, 0 or 1, one row an image.
    splits: train, val or test, one an image.
    names: of the attributes.
    kinds: their types, 1 to 5.
    annotations: folder of the attributes' lists, '' for `root` itself.
    images: folder of the images.
    slash: between the parts of a path.
    end: of a line.
  """
  paths = [f"img/Item_{i // 3}/img_{i:08d}.jpg" for i in range(len(values))]
  written = [path.replace("/", slash) for path in paths]
  folder = root / annotations
  write_table(
    folder / "list_attr_cloth.txt",
    "attribute_name  attribute_type",
    [f"{n:30s}{k}" for n, k in zip(names, kinds, strict=True)],
    end,
  )
  write_table(
    folder / "list_attr_img.txt",
    "image_name  attribute_labels",
    [
      f"{path:70s} " + " ".join(f"{v:2d}" for v in row)
      for path, row in zip(written, values, strict=True)
    ],
    end,
  )
  write_table(
    root / "Eval" / "list_eval_partition.txt",
    "image_name  evaluation_status",
    [f"{p:70s} {s}" for p, s in zip(written, splits, strict=True)],
    end,
  )
  for i, path in enumerate(paths):
    file = root / images / path.removeprefix("img/")
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 30), (i % 256, 80, 120)).save(file, "JPEG")
  return paths


def write_table(file, header, lines, end="\n"):
  """Writes a count, a header and lines."""
  file.parent.mkdir(parents=True, exist_ok=True)
  text = end.join([str(len(lines)), header, *lines, ""])
  file.write_bytes(text.encode())
