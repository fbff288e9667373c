"""DeepFashion from files in the official format, whole and damaged."""

import json

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import deepfashion
from causal_mlr_jax.data.formats import deepfashion_attributes
from tests.data import prepare
from tests.data.builders import official_deepfashion as official

OPTIONS = {
  "official_counts": "skip",
  "num_attributes": 4,
  "published_pairs": False,
}
SPLITS = ["train"] * 14 + ["val"] * 5 + ["test"] * 5
NAMES = official.NAMES


@pytest.fixture
def values(rng):
  return official.attributes(rng, len(SPLITS))


@pytest.fixture
def root(tmp_path, values):
  official.write(tmp_path, values, SPLITS)
  return tmp_path


def read(root, **options):
  return deepfashion.read_source(root, OPTIONS | options)


def fails(root, *matches, **options):
  with pytest.raises(UserError) as caught:
    read(root, **options)
  for match in matches:
    assert match in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"annotations": "Anno"},
    {"annotations": ""},
    {"images": "Img/img"},
    {"slash": "\\"},
    {"end": "\r\n"},
  ],
)
def test_labels_and_splits(tmp_path, values, changes, capsys):
  paths = official.write(tmp_path, values, SPLITS, **changes)
  source = read(tmp_path)
  folder = tmp_path / changes.get("annotations", "Anno_coarse")
  assert f"reading {folder}\n" in capsys.readouterr().err
  counts = (values[:14] == 1).sum(0)
  kept = sorted(sorted(range(6), key=lambda i: (-counts[i], i))[:4])
  assert source.labels == tuple(NAMES[i] for i in kept)
  assert source.metadata["attribute_indices"] == kept
  assert source.biased_pairs == ()
  json.dumps(source.metadata)
  start = 0
  for split, size in (("train", 14), ("validation", 5), ("test", 5)):
    items = source.splits[split]
    assert len(items) == size
    for i, item in enumerate(items):
      assert item.image_id == paths[start + i]
      assert item.labels.dtype == np.uint8
      np.testing.assert_array_equal(item.labels, values[start + i, kept] == 1)
      with Image.open(item.path) as image:
        assert image.size == (20, 30)
    start += size


def test_items_are_a_sequence(root):
  items = read(root).splits["train"]
  assert [i.image_id for i in items[2:4]] == [items[2].image_id, items[3][2]]
  assert items[-1].image_id == items[13].image_id
  with pytest.raises(IndexError):
    items[14]


def test_of_equally_frequent_attributes_the_first_is_kept(tmp_path):
  values = np.full((24, 6), -1)
  values[:5, [1, 3, 4]] = 1  # the others: never
  official.write(tmp_path, values, SPLITS)
  assert read(tmp_path).labels == (NAMES[0], *(NAMES[i] for i in (1, 3, 4)))
  assert read(tmp_path, num_attributes=2).labels == (NAMES[1], NAMES[3])


def test_the_partition_may_be_in_another_order(tmp_path, values):
  paths = official.write(tmp_path, values, SPLITS)
  lines = [f"{p} {s}" for p, s in zip(paths, SPLITS, strict=True)]
  file = tmp_path / "Eval" / "list_eval_partition.txt"
  official.write_table(file, "image_name  evaluation_status", lines[::-1])
  items = read(tmp_path).splits["validation"]
  assert [item.image_id for item in items] == paths[14:19]


def write_all_attributes(root, pairs):
  """1,000 attributes, 250 of them frequent: the published ones in place."""
  frequent = [f"attribute {i:03d}" for i in range(250)]
  for b, c, b_place, c_place in pairs:
    frequent[b_place], frequent[c_place] = b, c
  names = [x for i, f in enumerate(frequent) for x in (f, *rare(i))]
  values = np.full((24, 1000), -1)
  values[:3, ::4] = 1
  official.write(root, values, SPLITS, names, [1] * 1000)


def rare(i):
  return [f"rare {i} {j}" for j in range(3)]


def test_the_published_pairs(tmp_path, capsys):
  write_all_attributes(tmp_path, deepfashion.PAIRS)
  source = read(tmp_path, num_attributes=250, published_pairs=True)
  assert len(source.labels) == 250
  assert len(source.biased_pairs) == 20
  for (b, c), row in zip(source.biased_pairs, deepfashion.PAIRS, strict=True):
    assert (source.labels.index(b), source.labels.index(c)) == row[2:]
  assert "published places" not in capsys.readouterr().err


def test_published_places_that_differ_are_said(tmp_path, capsys):
  moved = [(b, c, {19: 18}.get(i, i), j) for b, c, i, j in deepfashion.PAIRS]
  write_all_attributes(tmp_path, moved)
  read(tmp_path, num_attributes=250, published_pairs=True)
  assert "places: bell 18 (published 19)\n" in capsys.readouterr().err


def test_pairs_that_are_no_labels(root):
  message = fails(root, "ankle", "published_pairs=False", published_pairs=True)
  assert "lace" not in message.split("Set")[0].split(", ")


@pytest.mark.parametrize(("how", "said"), [("say", True), ("skip", False)])
def test_other_counts_are_said(root, capsys, how, said):
  read(root, official_counts=how)
  assert ("14 train (expected 209222)" in capsys.readouterr().err) == said


def test_strict_counts(root):
  fails(root, "6 attributes (expected 1000)", official_counts="strict")


def test_all_missing_files_are_named_at_once(tmp_path):
  message = fails(tmp_path, "Anno_coarse/list_attr_cloth.txt", "img/")
  for part in (
    "Eval/list_eval_partition.txt",
    "Img/img/",
    "https://",
    "manual_dir",
  ):
    assert part in message
  fails(tmp_path / "nowhere", "is not a folder")


def test_lists_of_two_folders_do_not_make_one(root):
  (root / "Anno").mkdir()
  (root / "Anno_coarse/list_attr_img.txt").rename(
    root / "Anno/list_attr_img.txt"
  )
  fails(root, "lacks Anno_coarse/list_attr_cloth.txt with list_attr_img.txt")


def replace(file, old, new, count=1):
  text = file.read_text()
  assert old in text
  file.write_text(text.replace(old, new, count))


def test_damaged_tables_name_their_lines(root):
  table = root / "Anno_coarse/list_attr_img.txt"
  lines = table.read_text().split("\n")
  head = lines[4].split()[0]
  lines[4] = f"{head} 1 0 2 -1 0 1"
  lines[6] += " 1"
  lines[8] = lines[8].replace(" 1", " -0").replace(" 0", " --1")
  lines[9] = lines[9].replace("img/", "../")
  table.write_text("\n".join(lines))
  fails(
    root,
    "list_attr_img.txt:5: value '2', expected -1, 0 or 1",
    "list_attr_img.txt:7: 7 values, expected 6",
    "list_attr_img.txt:9: value '-",
    "list_attr_img.txt:10: path '../",
  )


def test_a_table_cut_short(root):
  table = root / "Anno_coarse/list_attr_img.txt"
  lines = table.read_text().split("\n")
  table.write_text("\n".join(lines[:-4]) + "\n")
  fails(
    root, "says 24 images, but 21 lines follow; was the file copied completely?"
  )
  table.write_text("image_name\n")
  fails(root, "got 'image_name', expected the number of images")


def test_damaged_lists(root):
  names = root / "Anno_coarse/list_attr_cloth.txt"
  text = names.read_text()
  replace(names, "lace ", "bell ")
  replace(names, "3\n", "9\n")
  fails(
    root,
    "'bell' appears more than once",
    "list_attr_cloth.txt:3: 'a-line",
  )
  names.write_text(text.rsplit("\n", 2)[0])
  fails(root, "got '6', but 5 lines follow the header")
  names.write_bytes(b"\xff\xfe6")
  fails(root, "is not UTF-8")


def test_damaged_partitions(root):
  partition = root / "Eval/list_eval_partition.txt"
  text = partition.read_text()
  partition.write_text(text.replace(" val", " dev", 1))
  fails(root, "list_eval_partition.txt:17: ", "train, val or test")
  partition.write_text(text.replace("img_00000003", "img_00000004"))
  fails(root, "img_00000004.jpg appears twice")
  partition.write_text(text.replace("img_00000003", "img_00000099"))
  fails(
    root,
    "img_00000003.jpg is not in list_eval_partition.txt",
    "img_00000099.jpg is not in list_attr_img.txt",
  )
  partition.write_text(text.replace(" val", " train"))
  fails(root, "no images in the split validation")
  partition.write_text(text.replace("img/Item_0/", "/etc/"))
  fails(root, "absolute path '/etc/")


def test_many_problems_are_counted(root):
  partition = root / "Eval/list_eval_partition.txt"
  partition.write_text(partition.read_text().replace(" train", " dev"))
  partition.write_text(partition.read_text().replace(" val", " dev"))
  partition.write_text(partition.read_text().replace(" test", " dev"))
  fails(root, "24 problem(s)", "and 4 more")


def test_options(root):
  for number in (1, 7):
    fails(root, "expected 2 to 6", "Anno_fine", num_attributes=number)
  deepfashion.check_options(deepfashion.OPTIONS)
  with pytest.raises(UserError, match="expected one of say, strict, skip"):
    deepfashion.check_options(OPTIONS | {"official_counts": "mumble"})


def test_pieces_of_the_table_make_one_whole(root, values, monkeypatch):
  file = root / "Anno_coarse/list_attr_img.txt"
  whole = deepfashion_attributes.read(file, 6)
  monkeypatch.setattr(deepfashion_attributes, "PIECE", 200)
  monkeypatch.setattr(deepfashion_attributes, "ROWS", 5)
  pieces = deepfashion_attributes.read(file, 6)
  assert pieces.paths == whole.paths
  np.testing.assert_array_equal(pieces.packed, whole.packed)
  np.testing.assert_array_equal(pieces.columns(np.arange(6)), values == 1)
  np.testing.assert_array_equal(
    pieces.counts(np.arange(3, 20)), (values[3:20] == 1).sum(0)
  )


def test_conversion(root, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  dataset = prepare.prepared("deepfashion", root, folder, OPTIONS)
  prepare.check_the_same(dataset, read(root))
