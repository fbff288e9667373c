"""The losses and backbones that a name chooses among, and their fields."""

# The fields of each loss, no two the same; see `losses/<name>.py`.
LOSSES = {
  "binary_cross_entropy": {},
  "asymmetric": {
    "gamma_positive": 0.0,
    "gamma_negative": 2.0,
    "clip": 0.0,  # shift of the probability of negatives
    "focusing_gradient": False,
    "eps": 0.0,  # published programs clamp probabilities at 1e-5 or 1e-8
    "clamp_above": False,
  },
  "focal": {"alpha": 0.25, "gamma": 2.0},
}

# The fields of each `Backbone`, see `backbones/<name>.py`; fields of the same
# name are the same.
BACKBONES = {
  "resnet": {
    "depth": 50,  # 18 | 101
    "stage_sizes": (),  # blocks a stage; () takes those of the depth
    "block": "",  # basic | bottleneck; '' takes that of the depth
    "width": 64,
    "stem": "imagenet",  # small | tiny
    "frozen_batch_norm": False,
  },
  "efficientnet_lite": {"variant": "lite0", "frozen_batch_norm": False},
  "beit3": {
    "size": "base",  # large
    "embed_dim": 0,  # this and the next three: 0 takes that of the size
    "num_layers": 0,
    "num_heads": 0,
    "hidden": 0,
    "patch_size": 16,
    "final_norm": True,  # False for files without: `_in1k`, VQA, timm
  },
}
