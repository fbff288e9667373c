"""Writes a small NUS-WIDE in the format of the official files, and as CSV."""

from PIL import Image

from causal_mlr_jax.data.builders.nus_wide import CONCEPTS

PARTS = {"train": "Train", "test": "Test"}


def labels(rng, images, frequent=0.04):
  """0 or 1, [images, 81]; some images have none."""
  return (rng.random((images, len(CONCEPTS))) < frequent).astype(int)


def write(root, values, concepts=CONCEPTS, folder="TrainTestLabels", end="\n"):
  """Writes the official form below `root`; returns the images by split.

  Args:
    root: folder.
    values: split (train, test) to 0 or 1, a column for each of `CONCEPTS`.
    concepts: the same names in the order of the file.
    folder: TrainTestLabels or AllLabels.
    end: of a line.
  """

  def lines(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(f"{row}{end}" for row in rows).encode())

  lines(root / "ConceptsList" / "Concepts81.txt", concepts)
  images = {
    split: [f"actor{i % 2}\\{i:04d}_{split}.jpg" for i in range(len(rows))]
    for split, rows in values.items()
  }
  for split, part in PARTS.items():
    lines(root / "ImageList" / f"{part}Imagelist.txt", images[split])
  # In the list of all images, those of the splits are mixed.
  both = [
    (image, row)
    for split in PARTS
    for image, row in zip(images[split], values[split], strict=True)
  ]
  both.sort()
  lines(root / "ImageList" / "Imagelist.txt", [image for image, _ in both])
  labels = root / "Groundtruth" / folder
  for i, name in enumerate(CONCEPTS):
    if folder == "AllLabels":
      lines(labels / f"Labels_{name}.txt", [row[i] for _, row in both])
      continue
    for split, part in PARTS.items():
      column = [row[i] for row in values[split]]
      lines(labels / f"Labels_{name}_{part}.txt", column)
  paths = {s: [p.replace("\\", "/") for p in images[s]] for s in images}
  write_images(root / "Flickr", paths)
  return paths


def write_csv(root, values, images="images"):
  """Writes the CSV form below `root`; returns the images by split."""
  paths, rows = {}, []
  for split, name in (("test", "val"), ("train", "train")):
    paths[split] = [f"{name}_{i}.jpg" for i in range(len(values[split]))]
    for path, row in zip(paths[split], values[split], strict=True):
      names = [c for c, has in zip(CONCEPTS, row, strict=True) if has]
      rows.append(f'{path},"{names}",{name}')
  text = "\n".join(["filepath,label,split_name", *rows, ""])
  (root / "nus_wid_data.csv").write_text(text)
  write_images(root / images, paths)
  return paths


def write_images(root, paths):
  """Writes a JPEG for each path."""
  for split in paths.values():
    for i, path in enumerate(split):
      (root / path).parent.mkdir(parents=True, exist_ok=True)
      Image.new("RGB", (24, 16), (i % 256, 90, 60)).save(root / path, "JPEG")
