"""A folder of one's own images: every mistake is named."""

import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import folder
from tests.data.builders import own_folder
from tests.data.builders.own_folder import (
  LABELS,
  NAMES,
  by_split,
  coco,
  mmpretrain,
  rewrite,
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


def test_no_or_many_annotation_files(root):
  message = fails(root, "holds no file with labels", "path,labels[,split]")
  assert "data.options.annotations" in message
  fails(root / "nowhere", "holds no file with labels")
  write_csv(root)
  (root / ".hidden.csv").write_text("x")
  (root / "notes.txt").write_text("x")
  assert read(root).labels == NAMES
  write_json(root / "train.json", {})
  write_json(root / "val.json", {})
  write_json(root / "test" / "metadata.jsonl", {})
  fails(
    root,
    "more than one file with labels:\n  test/metadata.jsonl\n"
    "  train.json, val.json\n  labels.csv\nSet ",
  )


def test_all_mistakes_of_a_csv_are_named(root):
  lines = write_csv(root)
  lines[1] = "pictures/none.png,cat,train"
  lines[2] = "../secret.png,cat,train"
  lines[3] = "/etc/passwd,cat,train"
  lines[4] = "C:\\a.png,cat,train"
  lines[5] = "pictures/1.png,cat,trian"
  lines[6] = "pictures/PICTURE.png,cat"
  lines[7] = "pictures/6.png,cat;;dog,validation"
  lines[8] = "pictures/6.png,cat,"
  lines += ["Pictures/6.PNG,cat,test", ",cat,test", "pictures/9.png,Cat,test"]
  rewrite(root, lines)
  message = fails(root, "labels.csv: 13 problem(s)", "Correct the file")
  for number, problem in (
    (2, "no file pictures/none.png"),
    (3, "path '../secret.png' leads out of the folder"),
    (4, "absolute path '/etc/passwd'"),
    (5, "absolute path 'C:\\\\a.png'"),
    (6, "split 'trian', expected train, validation or test"),
    (7, "2 cells, expected 3"),
    (8, "an empty label in 'cat;;dog'"),
    (9, "split ''"),
    (9, "pictures/6.png is a duplicate of the image in labels.csv:8"),
    (12, "Pictures/6.PNG is a duplicate of pictures/6.png in"),
    (13, "empty path"),
    (14, "pictures/9.png is a duplicate of the image in labels.csv:11"),
  ):
    assert f"labels.csv:{number}: {problem}" in message
  assert "labels 'Cat' and 'cat' differ only in case" in message


@pytest.mark.parametrize(
  ("text", "problems"),
  [
    ("file,labels\n", ["no column 'path' among file, labels"]),
    ("path;labels\n", ["no column 'path' among path;labels; columns are sep"]),
    ("path,split\n", ["neither a column 'labels' nor columns of 0 and 1"]),
    ("path,labels,size\n", ["unknown column 'size' beside 'labels'"]),
    ("path,cat,cat\n", ["column 'cat' appears twice"]),
    (
      "path,tags\npictures/1.png,a;b\npictures/2.png,c\n",
      ["csv:1: column 'tags' holds 'a;b' and no 0 or 1", "column 'labels'"],
    ),
    (
      "path,a,by\npictures/1.png,1,Eve\npictures/2.png,0,Bob\n",
      ["2 problem(s)", "csv:1: column 'by' holds 'Eve' and no 0 or 1"],
    ),
    ("path,,cat\n", ["a column without a name"]),
    ("path,cat,dog\n", ["no images are listed"]),
    ("", ["is empty"]),
    ("path,a,b\npictures/1.png,1,\n", [":2: an empty cell in column 'b'"]),
    ("path,a,b\npictures/1.png,2,x\n", [":2: '2' in column 'a'", "'x' in col"]),
    ("path,a,b\npictures/1.png,1.0,0\n", ["'1.0' in column 'a', expected 0"]),
    ('path,labels\n"pictures/1.png"x,a\n', [":2 is not valid CSV"]),
    ('path,labels\n"pictures/1.png,a\n', ["is not valid CSV"]),
    ("path,labels\npictures/1.png,a\N{NO-BREAK SPACE}b\n", ["not printable"]),
    ("path,labels\npictures/1.png,a\n", ["1 label(s) ['a']: expected 2"]),
  ],
)
def test_damaged_csv(root, text, problems):
  (root / "labels.csv").write_text(text)
  fails(root, "labels.csv", *problems)


def test_other_encodings(root):
  write_csv(root)
  text = (root / "labels.csv").read_text()
  (root / "labels.csv").write_bytes(text.encode("utf-16"))
  fails(root, "labels.csv is not UTF-8 text", "Save it as UTF-8")


def test_many_mistakes_are_counted(root):
  rewrite(root, ["path,labels", *(f"{i}.png,a;b" for i in range(50))])
  fails(root, "50 problem(s)", "labels.csv:2: no file 0.png", "and 30 more")


def test_splits_that_cannot_be(root):
  lines = write_csv(root)
  rewrite(root, [line.replace("validation", "train") for line in lines])
  fails(root, "No image in validation (train 8, validation 0, test 2)")
  lines[4] = lines[4].replace("ox", "cat")
  rewrite(root, lines)
  fails(root, "No training image has the label ox (validation)")
  assert read(root, allow_unseen_labels=True).labels == NAMES
  rewrite(root, ["path,labels", *lines[1:3]])
  rewrite(root, ["path,labels", "pictures/1.png,a;b"])
  fails(root, "No image in validation and test")


@pytest.mark.parametrize(
  ("change", "problem"),
  [
    (lambda c: c.pop("categories"), "is not in a known format"),
    (lambda c: c["images"].append(3), "images[10]: 3, expected id (number or"),
    (lambda c: c["images"].append({"id": [1], "file_name": "a"}), "images[10]"),
    (lambda c: c["images"].append(c["images"][0]), "id 0 appears twice"),
    (lambda c: c["images"][0].pop("file_name"), "file_name (text)"),
    (
      lambda c: c["categories"].append({"id": 1, "name": "ox"}),
      "appears twice",
    ),
    (lambda c: c["annotations"][0].update(image_id=99), "no image has the id"),
    (lambda c: c["annotations"][0].update(category_id=1), "no category has"),
    (lambda c: c["annotations"][0].update(category_id=True), "annotations[0]"),
  ],
)
def test_damaged_coco(root, change, problem):
  content = coco(list(enumerate(LABELS)))
  change(content)
  write_json(root / "all.json", content)
  fails(root, "all.json", problem)


@pytest.mark.parametrize(
  ("change", "problem"),
  [
    (lambda c: c.pop("metainfo"), "is not in a known format"),
    (lambda c: c["metainfo"].update(classes=["a", 2]), "classes must be names"),
    (
      lambda c: c["metainfo"].update(classes=["a", "b ", "b"]),
      "twice in class",
    ),
    (lambda c: c["data_list"][4].update(gt_label=[3]), "data_list[4]: gt_lab"),
    (lambda c: c["data_list"][4].update(gt_label=[-1]), "data_list[4]: gt_lab"),
    (lambda c: c["data_list"][4].update(gt_label=[1, 1]), "different indices"),
    (lambda c: c["data_list"][4].update(gt_label=["ox"]), "gt_label ['ox']"),
    (lambda c: c["data_list"][4].update(gt_label=2), "gt_label (list)"),
    (lambda c: c["data_list"][4].pop("img_path"), "img_path (text)"),
  ],
)
def test_damaged_mmpretrain(root, change, problem):
  content = mmpretrain(list(enumerate(LABELS)))
  change(content)
  write_json(root / "all.json", content)
  fails(root, "all.json", problem)


def test_no_json(root):
  (root / "all.json").write_text('{"images": [')
  fails(root, "all.json is not valid JSON: Expecting value: line 1 column 13")
  (root / "all.json").write_text("[" * 100_000)
  fails(root, "all.json is not valid JSON")
  (root / "all.json").unlink()
  (root / "metadata.jsonl").write_text(
    '{"file_name": "pictures/1.png", "labels": ["a", "b"]}\n'
    '{"file_name": "/pictures/2.png", "labels": []}\n'
    '{"file_name": "pictures/3.png", "labels": "a"}\n{"file_name"\n'
  )
  fails(
    root,
    "metadata.jsonl:2: absolute path",
    "metadata.jsonl:3: '{",
    "metadata.jsonl:4: not valid JSON: Expecting",
  )


def test_files_that_do_not_fit_each_other(root):
  for split, own in by_split().items():
    write_json(root / f"{split}.json", coco(own))
  content = coco([(0, ["cat"])])
  content["categories"].reverse()
  write_json(root / "val.json", content)
  message = fails(root, "list different labels")
  assert "val.json: images[0]: pictures/0.png is a duplicate" in message
  write_csv(root)
  (root / "labels.csv").rename(root / "half.csv")
  fails(root, "half.csv:2: has a split, and so", annotations="train=half.csv")
