"""Writes small data sets in the official form of COCO and COCO-Stuff."""

import io
import json

import numpy as np
from PIL import Image

from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.builders import coco, coco_stuff
from configs import common

LOOSE = {"official_counts": False}
# Split, number of images, first id.
SIZES = {"train": (26, 9), "test": (11, 500)}


def section(name, manual_dir, data_dir, options=LOOSE, **more):
  """The section `data` of a configuration."""
  found = common.data()
  found.update(
    name=name, manual_dir=str(manual_dir), dir=str(data_dir), options=options
  )
  found.update(max_bad_images=0)
  found.update(**more)
  return found


def prepared(*args, **kwargs):
  """Prepares and opens; arguments as of `section`."""
  builder = dataset_lib.find_builder(section(*args, **kwargs))
  dataset_lib.prepare(builder)
  return dataset_lib.open_prepared(builder)


def picture(seed, height=24, width=30):
  """A smooth RGB image that JPEG keeps well, another one for each seed."""
  corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
  small = Image.fromarray(corners)
  return small.resize((width, height), Image.Resampling.BILINEAR)


def encoded(image, form="JPEG", **options):
  """The bytes of an image file."""
  buffer = io.BytesIO()
  image.save(buffer, form, **options)
  return buffer.getvalue()


def jpeg(seed):
  """A JPEG: RGB, grey, CMYK or with an orientation, by turns."""
  image = picture(seed)
  kind = seed % 4
  if kind == 1:
    return encoded(image.convert("L"))
  if kind == 2:
    return encoded(image.convert("CMYK"))
  if kind == 3:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, as a phone stores it
    return encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif)
  return encoded(image)


def write_images(folder):
  """Writes train2014 and val2014; returns the paths by split and id."""
  found = {}
  for split, (count, first) in SIZES.items():
    year = coco.SPLITS[split][0]
    (folder / year).mkdir(parents=True)
    found[split] = {}
    for image_id in range(first, first + 3 * count, 3):
      path = folder / year / f"COCO_{year}_{image_id:012d}.jpg"
      path.write_bytes(jpeg(image_id))
      found[split][image_id] = path
  return found


def write_coco(folder):
  """Writes images and annotations.

  Returns:
    The names of the labels by split and image id; some images have none, and
    one has a crowd alone.
  """
  rng = np.random.default_rng(0)
  paths = write_images(folder)
  (folder / "annotations").mkdir()
  expected = {}
  ids = list(coco.CATEGORIES)
  for split, images in paths.items():
    objects, expected[split] = [], {}
    for k, image_id in enumerate(images):
      # An object may stand twice; every fifth image has none.
      chosen = [] if k % 5 == 4 else rng.choice(ids, rng.integers(1, 6))
      for category in chosen:
        crowd = len(chosen) == 1
        objects.append(
          {
            "id": len(objects),
            "image_id": image_id,
            "category_id": int(category),
            "iscrowd": int(crowd),
            "segmentation": {"counts": [3], "size": [24, 30]}
            if crowd
            else [[0, 0, 5, 0, 5, 5]],
          }
        )
      expected[split][image_id] = {coco.CATEGORIES[int(c)] for c in chosen}
    table = {
      "info": {},
      "images": [
        {"id": image_id, "file_name": path.name, "height": 24, "width": 30}
        for image_id, path in images.items()
      ],
      "annotations": objects,
      "categories": [
        {"id": k, "name": name, "supercategory": "x"}
        for k, name in coco.CATEGORIES.items()
      ],
    }
    year = coco.SPLITS[split][0]
    path = folder / "annotations" / f"instances_{year}.json"
    path.write_text(json.dumps(table))
  return expected


def map_png(values, mode="L"):
  """The bytes of a map that holds some values, in patches."""
  pixels = np.resize(np.asarray(values, np.uint8), (24, 30))
  image = Image.fromarray(pixels)
  if mode == "P":
    image = image.convert("P")
    image.frombytes(pixels.tobytes())
    image.putpalette(np.arange(768) % 256)
  return encoded(image, "PNG")


def write_coco_stuff(folder):
  """Writes images, maps and labels.txt.

  Returns:
    The names of the labels by split and image id.
  """
  rng = np.random.default_rng(1)
  lines = [f"{number}: {name}" for number, name in coco_stuff.NAMES.items()]
  (folder).mkdir(parents=True, exist_ok=True)
  (folder / "labels.txt").write_text("\n".join(lines) + "\n")
  for name in coco_stuff.MAPS:
    (folder / name).mkdir(parents=True)
  usable = [n for n in range(1, 183) if n not in coco_stuff.WITHOUT_MAP]
  expected = {}
  for split, images in write_images(folder).items():
    expected[split] = {}
    for k, image_id in enumerate(images):
      numbers = rng.choice(usable, rng.integers(1, 9), replace=False)
      values = [n - 1 for n in numbers] + [255] * (k % 3 > 0)
      if k % 4 == 0:
        values.append(11)  # street sign, which is no label
      if k % 7 == 6:
        numbers, values = [], [255]
      # Images of either split have their map in either folder.
      path = folder / coco_stuff.MAPS[k % 2] / f"{image_id:012d}.png"
      path.write_bytes(map_png(values, "LP"[k % 2]))
      expected[split][image_id] = {coco_stuff.NAMES[int(n)] for n in numbers}
  return expected


def by_image(dataset, split):
  """The labels' names and the encoded image of each record, by id."""
  found = {}
  for record in dataset.source(split):
    names = {dataset.labels[i] for i in np.flatnonzero(record["labels"])}
    found[int(record["image_id"])] = names, record["image"]
  return found
