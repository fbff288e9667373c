"""Names of arrays in published checkpoints, one module per method.

Each module has

  LABEL_ORDER     'alphabetical' or 'category_id': the order of COCO's labels
  IGNORED         pattern of keys that may be unused
  variable(key)   path of our variable in the head, or None
  backbone_key(key)  torchvision's name of a key of the backbone, or None
  fields(state)   the fields of `Head` that the arrays determine
  published_backbone_key(name)  the inverse, unless `backbone_key` has it
  AXES            optional: axes of length 1 by pattern of keys
  PREFIX          optional: prefix of all keys when they are written
  OWN             optional: patterns of our variables that are in no checkpoint
"""
