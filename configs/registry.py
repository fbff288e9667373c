"""The available methods, losses and backbones, and their fields."""

# One entry per method: the fields of its `Head`, see `methods/<name>.py`.
METHODS = {
  "baseline": {"pooling": "gap"},
  "cam_based": {
    "overlap_weight": 0.1,  # of the overlap of a pair's activation maps
    "reference_weight": 0.01,  # of their distance to the first network's maps
  },
  "feature_split": {
    "split": "half",  # random
    "window": 10,  # number of batches that the context channels' mean is over
    "min_weight": 3.0,  # of a label without its context; DeepFashion: 5
    "weighted": True,
    "variant": "auto",  # corrected | published, see docs/methods.md
  },
  "q2l": {
    "embed_dim": 2048,
    "num_heads": 4,
    "hidden": 8192,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "dropout": 0.1,
    "input_projection": False,
  },
  "c_tran": {
    "embed_dim": 2048,
    "num_heads": 4,
    "hidden": 2048,
    "num_layers": 3,
    "dropout": 0.1,
    "input_projection": False,
    "use_state": True,  # tokens say which labels are known
    "known_labels": 0.0,  # fraction of each image's labels known at test
    "variant": "auto",  # corrected | published, see docs/methods.md
  },
  "ml_gcn": {
    "hidden": 1024,
    "threshold": 0.4,  # conditional probability from which there is an edge
    "reweight": 0.25,  # total weight of a label's neighbours
    "variant": "auto",  # corrected | published, see docs/methods.md
    "window": 14,  # side of the window that 'published' pools, in positions
  },
  "add_gcn": {"embed_dim": 1024},
  "tdrg": {
    "embed_dim": 512,
    "num_heads": 4,
    "hidden": 2048,
    "num_layers": 3,
    "dropout": 0.0,
    "middle_stage": "stage3",  # the second to last feature map
    "variant": "auto",  # corrected | published, see docs/methods.md
  },
  "ssgrl": {
    "joint_dim": 1024,  # width of the joint space of positions and words
    "output_dim": 2048,
    "steps": 3,  # number of message-passing steps
    "pool": 2,  # side of the windows that are averaged first
    "variant": "auto",  # corrected | published, see docs/methods.md
  },
  "ccd": {
    "num_heads": 4,
    "tau": 32.0,  # scale of the logits
    "beta": 1 / 32,  # added to the norm of the weights
    "fuse": "selector",  # mlp | concat | none
    "stage": 2,  # 1: only the context classifier
  },
  "ida": {
    "num_heads": 4,
    "num_layers": 2,  # 1 in the published light form
    "beta": 1 / 32,  # added to the norm of the weights
    "heavy": True,  # normalisation, feed-forward, output projection
    "hidden": 2048,
    "head_norm": "own",  # last
    "variant": "auto",  # corrected | published, see docs/methods.md
  },
  "causal": {
    "embed_dim": 512,
    "num_heads": 4,
    "hidden": 2048,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "dropout": 0.1,
    "input_projection": True,
    # linear | post_norm_ffn | pre_norm; in linear, confounders act only through
    # the adjustment
    "intervention": "post_norm",
    "expectation": "auto",  # vmapped | scan | closed_form
    "adjustment": "offset",  # prior | posterior
    "queries": "shared",  # own
    "fusion": "mean_probability",  # mean_logit | max | decoupled | causal
    "decoupled_weight": 1.0,  # of the decoupled head's loss
    "causal_weight": 1.0,  # of the causal head's loss
    "learn_confounders": False,  # train the centres with the other parameters
  },
}

# The fields of each loss, all with different names; see `losses/<name>.py`.
LOSSES = {
  "binary_cross_entropy": {},
  "asymmetric": {
    "gamma_positive": 0.0,
    "gamma_negative": 2.0,
    "clip": 0.0,  # shift of the probability of negatives
    "focusing_gradient": False,
    "eps": 0.0,  # published code clamps probabilities at 1e-5 or 1e-8
    "clamp_above": False,
  },
  "focal": {"alpha": 0.25, "gamma": 2.0},
}

# The fields of each `Backbone`, see `backbones/<name>.py`; backbones share
# fields of the same name.
BACKBONES = {
  "resnet": {
    "depth": 50,  # 18 | 101
    "stage_sizes": (),  # blocks per stage; (): those of the depth
    "block": "",  # basic | bottleneck; '': that of the depth
    "width": 64,
    "stem": "imagenet",  # small | tiny
    "frozen_batch_norm": False,
  },
  "efficientnet_lite": {"variant": "lite0", "frozen_batch_norm": False},
  "beit3": {
    "size": "base",  # large
    "embed_dim": 0,  # this and the next three: 0 means that of the size
    "num_layers": 0,
    "num_heads": 0,
    "hidden": 0,
    "patch_size": 16,
    "final_norm": True,  # False for files without it: `_in1k`, VQA, timm
  },
}
