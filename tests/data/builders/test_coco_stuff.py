import os
import shutil

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.builders import coco, coco_stuff
from causal_mlr_jax.data.formats import pixel_maps
from tests.data.builders import official

# Places of b and c among the 171, as published.
PUBLISHED = (
  (41, 60),
  (40, 0),
  (26, 0),
  (47, 110),
  (2, 137),
  (5, 137),
  (58, 75),
  (44, 45),
  (68, 69),
  (66, 64),
  (30, 0),
  (74, 84),
  (32, 0),
  (65, 0),
  (31, 0),
  (70, 90),
  (78, 156),
  (38, 0),
  (36, 0),
  (35, 0),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("coco_stuff")
  return folder, official.write_coco_stuff(folder)


@pytest.fixture
def own(written, tmp_path):
  """A copy of the files that a test may spoil."""
  return shutil.copytree(written[0], tmp_path / "own")


@pytest.fixture(scope="module")
def dataset(written, tmp_path_factory):
  data = tmp_path_factory.mktemp("data")
  return official.prepared("coco_stuff", written[0], data)


def read(folder, **kwargs):
  return coco_stuff.read_source(folder, official.LOOSE, **kwargs)


def a_map(folder):
  return sorted((folder / coco_stuff.MAPS[0]).iterdir())[3]


def test_the_names_are_those_of_labels_txt():
  assert list(coco_stuff.NAMES) == list(range(183))
  assert len(set(coco_stuff.LABELS)) == 171
  left_out = set(coco_stuff.WITHOUT_MAP.values())
  kept = [n for k, n in coco_stuff.NAMES.items() if k and n not in left_out]
  assert tuple(kept) == coco_stuff.LABELS
  assert coco_stuff.LABELS[:80] == coco.LABELS
  for place, name in ((80, "banner"), (137, "road"), (170, "wood")):
    assert coco_stuff.LABELS[place] == name


def test_the_pairs_are_the_published_ones(dataset):
  assert dataset.biased_pairs == PUBLISHED


def test_every_image_has_the_labels_of_its_map(written, dataset):
  folder, expected = written
  assert dataset.labels == coco_stuff.LABELS
  for split, labels in expected.items():
    found = official.by_image(dataset, split)
    assert {k: names for k, (names, _) in found.items()} == labels
    assert not all(labels.values())
    year = coco.SPLITS[split][0]
    for image_id, (_, image) in found.items():
      path = folder / year / f"COCO_{year}_{image_id:012d}.jpg"
      assert image == path.read_bytes()


def test_the_values_are_those_of_the_pixels(written):
  source = read(written[0])
  for split, items in source.splits.items():
    for item in items:
      number = item.path.stem[-12:]
      (path,) = (written[0] / "stuffthingmaps").rglob(f"{number}.png")
      with Image.open(path) as image:
        values = set(np.unique(np.asarray(image))) - {255, 11}
      names = {coco_stuff.NAMES[int(v) + 1] for v in values}
      got = {source.labels[i] for i in np.flatnonzero(item.labels)}
      assert got == names == written[1][split][int(item.image_id)]


def test_batches_hold_the_labels_of_the_records(dataset):
  batch = next(
    pipeline.train_batches(dataset, "train[:95%]", "decode", 8, seed=0)
  )
  expected = dataset.label_matrix("train")[batch["index"]]
  np.testing.assert_array_equal(batch["labels"], expected)


def test_the_official_numbers_of_images_are_asserted(written):
  with pytest.raises(UserError) as caught:
    coco_stuff.read_source(written[0], {})
  assert "train has 26 images, officially 82,783" in str(caught.value)
  assert "test has 11 images, officially 40,504" in str(caught.value)


def test_all_missing_files_are_named_with_the_layout(own):
  shutil.rmtree(own / "stuffthingmaps")
  (own / "labels.txt").unlink()
  with pytest.raises(UserError) as caught:
    read(own)
  for words in (*coco_stuff.MAPS, "labels.txt", "stuffthingmaps_trainval2017"):
    assert words in str(caught.value)


def test_images_without_a_map_are_named(own):
  path = a_map(own)
  path.unlink()
  with pytest.raises(UserError, match=f"has no map {path.name}"):
    read(own)


def test_another_list_of_labels_is_refused(own):
  path = own / "labels.txt"
  text = path.read_text().replace("4: motorcycle\n", "4: motorbike\n")
  path.write_text(text.replace("182: wood\n", "") + "wood\n")
  with pytest.raises(UserError) as caught:
    read(own)
  for words in (
    "4 is 'motorbike', officially 'motorcycle'",
    "182 is 'absent', officially 'wood'",
    "the line 'wood'",
  ):
    assert words in str(caught.value)


def spoiled():
  grey = np.full((24, 30), 7, np.uint8)
  whole = official.map_png([3, 4])
  return {
    "truncated": (whole[:60], "cannot be"),
    "empty": (b"", "cannot be read"),
    "colours": (
      official.encoded(Image.fromarray(np.stack([grey] * 3, -1)), "PNG"),
      "form RGB, expected one byte",
    ),
    "one bit": (
      official.encoded(Image.fromarray(grey > 9), "PNG"),
      "form 1, expected one byte",
    ),
    "deep": (
      official.encoded(Image.fromarray(grey.astype(np.uint16)), "PNG"),
      "expected one byte",
    ),
    "jpeg": (official.jpeg(0), "cannot be read"),
    "value": (official.map_png([3, 182, 254]), "holds \\[182, 254\\]"),
  }


@pytest.mark.parametrize("name", spoiled())
def test_a_bad_map_is_named(own, name):
  data, words = spoiled()[name]
  path = a_map(own)
  path.write_bytes(data)
  with pytest.raises(UserError, match=words) as caught:
    read(own)
  assert path.name in str(caught.value)
  assert "1 problem(s)" in str(caught.value)


def test_maps_are_not_read_again(own, tmp_path, monkeypatch):
  monkeypatch.setattr(pixel_maps, "MAPS_A_CHUNK", 8)
  cache = tmp_path / "cache"
  first = read(own, cache=cache)
  assert len(list(cache.rglob("labels_*.npz"))) == 4 + 2
  path = a_map(own)
  stat = path.stat()
  path.write_bytes(bytes(stat.st_size))  # the same name, size and time
  os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
  again = read(own, cache=cache)
  for split, items in first.splits.items():
    for a, b in zip(items, again.splits[split], strict=True):
      assert a.image_id == b.image_id
      np.testing.assert_array_equal(a.labels, b.labels)
  path.write_bytes(official.map_png([5]))  # another time: it is read
  changed = read(own, cache=cache)
  (row,) = (
    item.labels
    for items in changed.splits.values()
    for item in items
    if item.path.stem[-12:] == path.stem
  )
  assert [changed.labels[i] for i in np.flatnonzero(row)] == ["bus"]
  for file in cache.rglob("labels_*.npz"):
    file.write_bytes(b"damaged")
  read(own, cache=cache)


def test_a_conversion_that_failed_keeps_what_it_read(own, tmp_path):
  image = sorted((own / "train2014").iterdir())[0]
  whole = image.read_bytes()
  image.write_bytes(whole[:100])
  with pytest.raises(UserError, match="max_bad_images"):
    official.prepared("coco_stuff", own, tmp_path / "data")
  assert list((tmp_path / "data").rglob("labels_*.npz"))
  image.write_bytes(whole)
  official.prepared("coco_stuff", own, tmp_path / "data")
  assert not list((tmp_path / "data").rglob("*.partial"))
  assert not list((tmp_path / "data").rglob("labels_*.npz"))
