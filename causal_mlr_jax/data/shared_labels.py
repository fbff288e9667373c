"""Which labels of COCO and of NUS-WIDE are the same, to test across both.

Names are the 80 of COCO's objects and the 81 of NUS-WIDE's concepts. `EXACT`
holds those that are equal, in the plural, or one word for the same thing.
`LOOSE` holds pairs where one is wider than the other or only close to it.
NUS-WIDE's animal, food, sports and vehicle each cover many labels of COCO and
are no pair.
"""

from __future__ import annotations

# COCO, NUS-WIDE.
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
  """Returns pairs (COCO's name, NUS-WIDE's name) of the same label.

  Args:
    loose: also the pairs that are only close.
  """
  return EXACT + LOOSE if loose else EXACT
