"""Every configuration key, its default and its meaning.

A job's file takes `get_config`, changes what differs and names the method
and the backbone; the command line overrides single keys. The configuration
is locked: a key that is not here is an error.
"""

import ml_collections

from configs.choices import BACKBONES, LOSSES, METHODS


def choice(kind: str, table: dict, name: str) -> ml_collections.ConfigDict:
  """Returns a section with the fields of every row of a table.

  So the command line can change the name; fields of other rows are not read.
  """
  named(kind, table, name)  # an unknown one is an error
  fields = {k: v for row in table.values() for k, v in row.items()}
  return ml_collections.ConfigDict({"name": name} | fields)


def named(kind: str, table: dict, name: str) -> ml_collections.ConfigDict:
  """Returns a section `name=..., **fields` from one of the tables above."""
  if name not in table:
    # The file may exist and have no line here, so both places are named.
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name(f"{kind} (a line of configs/choices.py)", name, table)
  return ml_collections.ConfigDict({"name": name} | table[name])


def loss(
  name: str, reduction: str = "mean", scale: float = 1.0
) -> ml_collections.ConfigDict:
  """Returns a loss's section.

  Args:
    name: a key of `choices.LOSSES`.
    reduction: 'mean'; 'batch_sum', over examples of the mean over labels;
      'sum', over both. Of the global batch.
    scale: factor.
  """
  config = choice("loss", LOSSES, name)
  config.reduction, config.scale = reduction, scale
  return config


def backbone(name: str, pretrained: str = "") -> ml_collections.ConfigDict:
  """Returns a backbone's section.

  Args:
    name: a key of `choices.BACKBONES`.
    pretrained: weights that come in a package, 'efficientnet_lite0'; those of
      torchvision for a ResNet, 'IMAGENET1K_V1' or 'IMAGENET1K_V2', from a file
      that lies in pretrained/; another .pth or .safetensors file; 'scratch'
      or '', random initial values, and the program says so.
  """
  config = choice("backbone", BACKBONES, name)
  config.pretrained = pretrained
  return config


def get_config(
  method: str, backbone_name: str = "resnet"
) -> ml_collections.ConfigDict:
  """Returns all keys with their defaults.

  Args:
    method: a key of `choices.METHODS`.
    backbone_name: a key of `choices.BACKBONES`.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.dtype = "auto"  # of activations: bfloat16 on GPU and TPU, else float32
  config.method = named("method", METHODS, method)
  config.backbone = backbone(backbone_name)
  config.loss = loss("binary_cross_entropy")
  config.data = data()
  # Weights to start from: a torch .pth, a .safetensors, or the workdir of a
  # run; of the backbone alone or of the whole model. See the README.
  config.init_from = ""
  config.init_allow_missing = ()  # patterns of our paths that may stay random
  config.init_allow_unused = ()  # patterns of the file's keys to leave out
  # The file's order of the labels: auto (that of the run; of the published
  # program, known for COCO alone), dataset, alphabetical.
  config.init_label_order = "auto"
  config.side_inputs = ml_collections.ConfigDict(
    {
      # A GloVe text file; '': embeddings made from the training labels.
      "glove": "",
      "embedding_dim": 300,  # of the latter, at most one a label is not 0
    }
  )
  # What differs in the training that comes first (ccd, cam_based,
  # feature_split), keys of `train`.
  config.first_stage = ml_collections.ConfigDict(
    {
      "epochs": 6.0,
      "learning_rate": 1e-4,
      "schedule": "one_cycle",
      "step_at": (),
    }
  )
  config.confounders = confounders()
  config.transfer = transfer()
  config.audit = audit()
  config.effects = effects()
  config.train = train()
  config.evaluate = evaluate()
  return config


def evaluate() -> ml_collections.ConfigDict:
  """Returns the section of evaluation."""
  return ml_collections.ConfigDict(
    {
      "batch_size": 128,  # global
      "every_epochs": 1.0,  # validation and checkpoint
      "use_ema": True,  # evaluate the averaged parameters
      # What is shown, and what the best checkpoint is best by.
      "metric": "map",  # top3_recall
    }
  )


def transfer() -> ml_collections.ConfigDict:
  """Returns the section of another data set to test on.

  Keys as of `data`; it is read with the threads of that section.
  """
  return ml_collections.ConfigDict(
    {
      "name": "",  # '' does not
      "variant": "default",
      "dir": "data_dir",
      "manual_dir": "",
      "options": ml_collections.ConfigDict(),
      "max_bad_images": 0,
      "test_splits": ("test",),
      "loose": False,  # also labels that are only close
    }
  )


def audit() -> ml_collections.ConfigDict:
  """Returns the section of --mode=audit; DeepFashion was published with 0.1."""
  return ml_collections.ConfigDict(
    {
      "train_percent": 80,  # of the training images, for its classifier
      "threshold": 0.2,  # part of a label's images that a context must share
      "num_pairs": 20,
    }
  )


def effects() -> ml_collections.ConfigDict:
  """Returns the section of --mode=effects."""
  return ml_collections.ConfigDict(
    {
      "split": "",  # of the images, or a part of one; '': the first test split
      "max_images": 1000,  # that are drawn anew, or asked about every label
    }
  )


def data() -> ml_collections.ConfigDict:
  """Returns the section of the data set."""
  return ml_collections.ConfigDict(
    {
      "name": "context_emoji",  # a file of `data/builders`
      "variant": "default",  # a configuration of the builder
      "dir": "data_dir",  # where prepared data lie
      "manual_dir": "",  # where the official files lie, until prepared
      "options": ml_collections.ConfigDict(),  # see `OPTIONS` of its builder
      "max_bad_images": 0,  # that are left out; more stop the preparation
      # Of a process, for reading; no result depends on them. Threads that make
      # batches (0: one for each core of the process, two at least; processes
      # with the same cores share them), and MiB for decoded training images
      # that are kept from epoch to epoch (0: none).
      "threads": 0,
      "cache_mib": 256,
      "pairs": "",  # a pairs.json of --mode=audit, for the data set's own pairs
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
      # Which images they are made from: source, those of training; target,
      # those that are tested on; both. The last two LOOK AT THE TEST IMAGES,
      # though not at their labels: results are those of a transductive use.
      # In 'both' the larger set weighs more.
      "data": "source",
      # The splits tested on, where `transfer.name` names no other data set.
      "target_splits": (),
      "num": 80,  # K; 'label' takes one a label
      "prior": "share",  # P(c): the cluster's share of positions | uniform
      "backbone": backbone("efficientnet_lite", "efficientnet_lite0"),
      "layer": "final",  # feature map that is clustered
      "early_layer": "stage2",  # the same for kind 'early'
      "image_size": 224,  # images are resized to it on the device
      "batch_size": 128,  # of feature extraction, global
      # What centres and P(c) are of at most, of all images together: above
      # it, as many positions of each map are drawn at random. The shares in
      # each training image, and prototypes of labels, are of all positions.
      "max_positions": 500_000,
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
      # adamw: decay apart from the gradient; adam, sgd: decay in it (L2)
      "optimizer": "adamw",
      "learning_rate": 1e-4,  # at the peak
      "schedule": "one_cycle",  # cosine | constant | step
      # one_cycle, cosine: part of the steps in which the rate rises
      "warmup": 0.2,
      # step: parts of the whole training at which the rate is multiplied
      "step_at": (),
      "step_factor": 0.1,
      "adam_b1": 0.9,
      "adam_b2": 0.999,
      "momentum": 0.9,  # sgd
      # one_cycle: beta1 or momentum goes 0.95, 0.85, 0.95 against the rate
      "cycle_momentum": False,
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
