"""How published checkpoints of the methods name their arrays: one a method.

Each has

  LABEL_ORDER     'alphabetical' or 'category_id': the order of COCO's labels
  IGNORED         pattern of keys that may be left over
  variable(key)   path of our variable in the head, None if the key is none
  backbone_key(key)  torchvision's name of a backbone's key, None if it is none
  fields(state)   the fields of `Head` that the arrays tell
  OWN             optional: patterns of our variables that are in no checkpoint
"""
