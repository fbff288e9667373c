"""A folder of one's own images: every form of labels."""

import json

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import folder
from tests.data import prepare
from tests.data.builders import own_folder
from tests.data.builders.own_folder import (
  LABELS,
  NAMES,
  PATHS,
  SPLITS,
  by_split,
  coco,
  mmpretrain,
  rewrite,
  vector,
  write_csv,
  write_json,
)


@pytest.fixture
def root(tmp_path):
  own_folder.draw(tmp_path)
  return tmp_path


def read(root, **options):
  return folder.read_source(root, options)


def fails(root, *matches, **options):
  with pytest.raises(UserError) as caught:
    read(root, **options)
  for match in matches:
    assert match in str(caught.value)
  return str(caught.value)


def check(source, names=NAMES, paths=PATHS):
  assert source.labels == names
  assert list(source.splits) == ["train", "validation", "test"]
  place = 0
  for split, items in source.splits.items():
    assert len(items) == SPLITS.count(split)
    for item in items:
      assert item.image_id == paths[place]
      assert item.labels.tolist() == vector(LABELS[place], names)
      with Image.open(item.path) as image:
        assert image.getpixel((0, 0)) == (20 * place, 0, 0)
      place += 1
  json.dumps(source.metadata)
  assert source.metadata["without_label"]["train"] == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("head", ["", "\N{ZERO WIDTH NO-BREAK SPACE}"])
def test_csv_of_labels(root, end, head, capsys):
  write_csv(root, end=end, head=head)
  source = read(root)
  check(source)
  assert source.metadata["splits"] == "of the file"
  said = capsys.readouterr().err
  assert "3 labels; images: train 6, validation 2, test 2; 1 without" in said


def test_csv_of_columns(root):
  names = ("ox", "cat", "dog")  # their order stays
  lines = ["split,ox,path,cat,dog"]
  for path, own, split in zip(PATHS, LABELS, SPLITS, strict=True):
    ox, cat, dog = vector(own, names)
    lines.append(f"{split},{ox},{path}, {cat} ,{dog}")
  rewrite(root, lines)
  check(read(root), names)


@pytest.mark.parametrize(
  ("make", "names"),
  [
    (coco, ("ox", "cat", "dog", "elk")),
    (mmpretrain, ("ox", "cat", "dog")),
    (lambda own: mmpretrain(own, flags=True), ("ox", "cat", "dog")),
  ],
)
def test_json_files_of_the_splits(root, make, names, capsys):
  for split, own in by_split().items():
    write_json(root / f"{split}.json", make(own))
  check(read(root), names)
  never = "no image has the label elk\n" in capsys.readouterr().err
  assert never == ("elk" in names)


def test_one_json_file(root):
  write_json(root / "all.json", coco(list(enumerate(LABELS))))
  source = read(root, allow_unseen_labels=True)
  assert sum(map(len, source.splits.values())) == 10
  assert source.metadata["splits"] == "drawn"


def test_files_that_are_named(root):
  for split, own in by_split().items():
    write_json(root / "notes" / f"{split}ing.json", coco(own))
  write_csv(root)
  named = ",".join(
    f"{s}=notes/{t}ing.json"
    for s, t in (("train", "train"), ("validation", "val"), ("test", "test"))
  )
  check(read(root, annotations=named), ("ox", "cat", "dog", "elk"))
  check(read(root, annotations="labels.csv"))
  message = fails(
    root, "is not a file that ends in .csv", annotations="label.csv"
  )
  assert "Found:\n  labels.csv" in message
  fails(root, "'training' is not a split", annotations="training=labels.csv")
  fails(root, "leads out of the folder", annotations="../labels.csv")


def test_the_images_may_lie_deeper(root):
  lines = write_csv(root)
  rewrite(root, [line.replace("pictures/", "") for line in lines])
  check(read(root, images="pictures/"))
  with pytest.raises(UserError, match="images: absolute path"):
    folder.check_options(folder.OPTIONS | {"images": "/pictures"})


def test_lines_of_json_beside_the_images(root):
  paths = []
  for split, own in by_split().items():
    (root / split).mkdir()
    lines = []
    for i, labels in own:
      (root / PATHS[i]).rename(root / split / f"{i}.png")
      lines.append(json.dumps({"file_name": f"{i}.png", "labels": labels}))
      paths.append(f"{split}/{i}.png")
    (root / split / "metadata.jsonl").write_text("\n\n".join(lines))
  check(read(root), paths=paths)


def test_drawn_splits(root):
  lines = write_csv(root, split=False)
  first = read(root, seed=3, allow_unseen_labels=True)
  ids = {s: sorted(x.image_id for x in v) for s, v in first.splits.items()}
  assert sorted(x for own in ids.values() for x in own) == PATHS
  assert all(ids.values())
  for split, items in first.splits.items():
    for item in items:
      own = LABELS[PATHS.index(item.image_id)]
      assert item.labels.tolist() == vector(own), split
  # The order of lines is of no account.
  rewrite(root, [lines[0], *lines[:0:-1]])
  again = read(root, seed=3, allow_unseen_labels=True)
  assert ids == {
    s: sorted(x.image_id for x in v) for s, v in again.splits.items()
  }
  others = [
    sorted(
      x.image_id for x in read(root, seed=s, validation=0.3).splits["test"]
    )
    for s in range(8)
  ]
  assert len(set(map(tuple, others))) > 1


def test_paths_of_windows_and_quoted_cells(root):
  (root / PATHS[0]).rename(root / "pictures/a, b.png")
  lines = write_csv(root)
  lines[1] = '"pictures\\a, b.png","cat",train'
  lines[2] = './pictures//1.png," dog ; cat ",train'
  rewrite(root, lines)
  check(read(root), paths=["pictures/a, b.png", *PATHS[1:]])


def test_indices_that_may_be_flags(root):
  rows = [{"img_path": path, "gt_label": [0, 1]} for path in PATHS]
  content = {"metainfo": {"classes": ["a", "b"]}, "data_list": rows}
  write_json(root / "all.json", content)
  fails(root, "could be indices, or 0 or 1 for each of the 2 classes")
  rows[0]["gt_label"] = [1, 1]
  write_json(root / "all.json", content)
  items = [x for s in read(root).splits.values() for x in s]
  assert sum(x.labels for x in items).tolist() == [1, 10]
  rows[0]["gt_label"] = [1]
  write_json(root / "all.json", content)
  items = [x for s in read(root).splits.values() for x in s]
  assert sum(x.labels for x in items).tolist() == [9, 10]


def test_biased_pairs(root):
  write_csv(root)
  given = ("dog<-cat", "ox <- dog")
  pairs = read(root, biased_pairs=given).biased_pairs
  assert pairs == (("dog", "cat"), ("ox", "dog"))
  fails(root, "Did you mean 'dog'", biased_pairs=("dogs<-cat",))
  for wrong in (("dog",), ("dog<-dog",), ("dog<-cat", "dog<-cat")):
    fails(root, "expected 'LABEL<-CONTEXT'", biased_pairs=wrong)


def test_the_key_is_that_of_the_annotations(root):
  write_csv(root)
  options = folder.OPTIONS

  def key():
    return folder.content_key(root, options)

  first = key()
  assert first == key()
  assert len(first) == 64
  (root / PATHS[0]).unlink()
  assert key() == first
  write_csv(root, split=False)
  assert key() != first
  (root / "labels.csv").unlink()
  with pytest.raises(UserError, match="holds no file with labels"):
    key()


@pytest.mark.parametrize(
  ("validation", "test"), [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5), (-0.1, 0.5)]
)
def test_parts(validation, test):
  folder.check_options(folder.OPTIONS)
  with pytest.raises(UserError, match="together less than 1"):
    folder.check_options(
      folder.OPTIONS | {"validation": validation, "test": test}
    )


def test_labels_are_shared_out_in_proportion(tmp_path, rng):
  Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
  drawn = rng.random((200, 3)) < (0.05, 0.2, 0.5)
  lines = ["path,a,b,c"]
  for i, row in enumerate(drawn.astype(int)):
    (tmp_path / f"{i}.png").write_bytes((tmp_path / "0.png").read_bytes())
    lines.append(f"{i}.png,{row[0]},{row[1]},{row[2]}")
  rewrite(tmp_path, lines)
  for split, part in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
    items = read(tmp_path).splits[split]
    counts = sum(item.labels.astype(int) for item in items)
    np.testing.assert_allclose(counts, part * drawn.sum(0), atol=3)


def test_conversion(root, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  lines = write_csv(root)
  options = {"biased_pairs": ("dog<-cat",)}
  first = prepare.prepared("folder", root, data_dir, options)
  prepare.check_the_same(first, read(root, **options))
  # Other labels are another data set.
  rewrite(root, [*lines[:-1], lines[-1].replace("cat", "dog")])
  other = prepare.prepared("folder", root, data_dir, options)
  prepare.check_the_same(other, read(root, **options))
  assert other.fingerprint != first.fingerprint


def test_files_that_are_no_images(root, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_csv(root)
  (root / PATHS[1]).write_text("an image")
  with pytest.raises(UserError, match="is neither JPEG nor PNG"):
    prepare.prepared("folder", root, data_dir, {})
  dataset = prepare.prepared("folder", root, data_dir, {}, max_bad_images=1)
  assert len(dataset.source("train")) == 5
