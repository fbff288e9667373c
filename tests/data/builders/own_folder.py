"""Ten small images and their labels, in every form that is read."""

import json

from PIL import Image

SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
# Labels of ten images; the third has none.
LABELS = [
  ["cat"], ["dog", "cat"], [], ["ox"], ["dog"], ["cat"],
  ["cat"], ["ox", "dog"], ["dog"], ["cat"],
]  # fmt: skip
PATHS = [f"pictures/{i}.png" for i in range(10)]
NAMES = ("cat", "dog", "ox")


def draw(root):
  """Writes the images."""
  (root / "pictures").mkdir()
  for i, path in enumerate(PATHS):
    Image.new("RGB", (9, 8), (20 * i, 0, 0)).save(root / path)


def write_csv(root, split=True, end="\n", head=""):
  rows = [["path", "labels", "split"]]
  rows += [
    [path, ";".join(own), where]
    for path, own, where in zip(PATHS, LABELS, SPLITS, strict=True)
  ]
  lines = [",".join(row if split else row[:2]) for row in rows]
  text = head + end.join([*lines, ""])
  (root / "labels.csv").write_bytes(text.encode())
  return lines


def rewrite(root, lines):
  (root / "labels.csv").write_text("\n".join(lines) + "\n")


def vector(own, names=NAMES):
  return [int(name in own) for name in names]


def coco(own, paths=PATHS):
  names = ("ox", "cat", "dog", "elk")
  marks = [(i, names.index(x)) for i, labels in own for x in labels]
  return {
    "images": [{"id": i, "file_name": paths[i], "width": 9} for i, _ in own],
    "annotations": [
      # An object for each mark, and one of them twice.
      {"image_id": i, "category_id": 7 * c, "iscrowd": 0}
      for i, c in [*marks, *marks[:1]]
    ],
    "categories": [{"id": 7 * c, "name": n} for c, n in enumerate(names)],
  }


def mmpretrain(own, paths=PATHS, flags=False):
  names = ["ox", "cat", "dog"]
  return {
    "metainfo": {"classes": names},
    "data_list": [
      {
        "img_path": paths[i],
        "gt_label": vector(x, names) if flags else [names.index(n) for n in x],
      }
      for i, x in own
    ],
  }


def by_split():
  numbered = list(enumerate(LABELS))
  return {
    "train": numbered[:6], "val": numbered[6:8], "test": numbered[8:]
  }  # fmt: skip


def write_json(file, content):
  file.parent.mkdir(exist_ok=True)
  file.write_text(json.dumps(content))
