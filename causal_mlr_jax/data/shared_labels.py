"""Labels that COCO and NUS-WIDE share, to train on one and test on the other.

The names are COCO's 80 objects and NUS-WIDE's 81 concepts. `EXACT` pairs have
equal names, differ only in number, or are synonyms. In `LOOSE` pairs, one label
is broader than the other or only close to it. NUS-WIDE's animal, food, sports
and vehicle each cover many of COCO's labels and are not paired.
"""

from __future__ import annotations

# Pairs (name in COCO, name in NUS-WIDE).
EXACT = (
  ("person", "person"),
  ("car", "cars"),
  ("airplane", "plane"),
  ("train", "train"),
  ("boat", "boats"),
  ("bird", "birds"),
  ("cat", "cat"),
  ("dog", "dog"),
  ("horse", "horses"),
  ("cow", "cow"),
  ("bear", "bear"),
  ("zebra", "zebra"),
  ("book", "book"),
)
LOOSE = (
  ("laptop", "computer"),
  ("stop sign", "sign"),
  ("surfboard", "surf"),
  ("teddy bear", "toy"),
  ("potted plant", "plants"),
)


def shared(loose: bool = False) -> tuple[tuple[str, str], ...]:
  """Returns pairs (COCO's name, NUS-WIDE's name) of corresponding labels.

  Args:
    loose: Whether to include the `LOOSE` pairs.
  """
  return EXACT + LOOSE if loose else EXACT
