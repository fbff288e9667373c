"""Every configuration key, its default and its meaning.

The file of a job calls `get_config` with a method and a backbone, and changes
what differs. The command line overrides single keys. The configuration is
locked: any key that is not defined here is an error.
"""

import ml_collections

from configs.registry import BACKBONES, LOSSES, METHODS


def choice(kind: str, table: dict, name: str) -> ml_collections.ConfigDict:
  """Returns a section with the fields of all rows of a table.

  The command line can therefore change the name; the fields of other rows are
  not read.
  """
  named(kind, table, name)  # raises if the name is unknown
  fields = {k: v for row in table.values() for k, v in row.items()}
  return ml_collections.ConfigDict({"name": name} | fields)


def named(kind: str, table: dict, name: str) -> ml_collections.ConfigDict:
  """Returns a section `name=..., **fields` from one of the tables above."""
  if name not in table:
    # The method's file may exist without a line in the table, so the message
    # names the table.
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name(f"{kind} (a line of configs/registry.py)", name, table)
  return ml_collections.ConfigDict({"name": name} | table[name])


def loss(
  name: str, reduction: str = "mean", scale: float = 1.0
) -> ml_collections.ConfigDict:
  """Returns a loss's section.

  Args:
    name: A key of `registry.LOSSES`.
    reduction: Reduction over the global batch: 'mean'; 'batch_sum', the sum
      over examples of the mean over labels; 'sum', the sum over both.
    scale: Factor of the loss.
  """
  config = choice("loss", LOSSES, name)
  config.reduction, config.scale = reduction, scale
  return config


def backbone(name: str, pretrained: str = "") -> ml_collections.ConfigDict:
  """Returns a backbone's section.

  Args:
    name: A key of `registry.BACKBONES`.
    pretrained: Weights to start from: 'efficientnet_lite0', which come in a
      package; 'IMAGENET1K_V1' or 'IMAGENET1K_V2', torchvision's weights of a
      ResNet, from a file in pretrained/; the path of another .pth or
      .safetensors file; or 'scratch' or '', random initial values, which the
      program reports.
  """
  config = choice("backbone", BACKBONES, name)
  config.pretrained = pretrained
  return config


def get_config(
  method: str, backbone_name: str = "resnet"
) -> ml_collections.ConfigDict:
  """Returns all keys with their defaults.

  Args:
    method: A key of `registry.METHODS`.
    backbone_name: A key of `registry.BACKBONES`.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.dtype = "auto"  # of activations: bfloat16 on GPU and TPU, else float32
  config.method = named("method", METHODS, method)
  config.backbone = backbone(backbone_name)
  config.loss = loss("binary_cross_entropy")
  config.data = data()
  # Weights to start from, of the backbone or of the whole model: a PyTorch .pth
  # file, a .safetensors file, or the workdir of a run. See docs/weights.md.
  config.init_from = ""
  config.init_allow_missing = ()  # patterns of our paths that may stay random
  config.init_allow_unused = ()  # patterns of the file's keys that are not read
  # Order of the labels in these weights: auto (that of the run, or that of the
  # published checkpoint, known only for COCO), dataset, alphabetical.
  config.init_label_order = "auto"
  config.side_inputs = ml_collections.ConfigDict(
    {
      # A GloVe text file; '': embeddings computed from the training labels.
      "glove": "",
      "embedding_dim": 300,  # of computed embeddings; at most N are not 0
    }
  )
  # Keys of `train` that differ in the first training of ccd, cam_based and
  # feature_split.
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
      "every_epochs": 1.0,  # epochs between validations, each with a checkpoint
      "use_ema": True,  # evaluate the averaged parameters
      # The metric that is shown and that selects the best checkpoint.
      "metric": "map",  # top3_recall
      # Also write the page of the run, report/index.html, which takes seconds.
      "page": True,
    }
  )


def transfer() -> ml_collections.ConfigDict:
  """Returns the section of another data set to test on.

  The keys are those of `data`; reading uses the threads of that section.
  """
  return ml_collections.ConfigDict(
    {
      "name": "",  # '': no other data set
      "variant": "default",
      "dir": "data_dir",
      "manual_dir": "",
      "options": ml_collections.ConfigDict(),
      "max_bad_images": 0,
      "test_splits": ("test",),
      "loose": False,  # also match labels of only similar meaning
    }
  )


def audit() -> ml_collections.ConfigDict:
  """Returns the section of --mode=audit; DeepFashion was published with 0.1."""
  return ml_collections.ConfigDict(
    {
      "train_percent": 80,  # of the training images, to train the classifier
      "threshold": 0.2,  # least fraction of a label's images with the context
      "num_pairs": 20,
    }
  )


def effects() -> ml_collections.ConfigDict:
  """Returns the section of --mode=effects."""
  return ml_collections.ConfigDict(
    {
      "split": "",  # a split or a part of one; '': the first test split
      "max_images": 1000,  # that are redrawn, or tested with each known label
    }
  )


def data() -> ml_collections.ConfigDict:
  """Returns the section of the data set."""
  return ml_collections.ConfigDict(
    {
      "name": "context_emoji",  # a file in `data/builders`
      "variant": "default",  # a configuration of the builder
      "dir": "data_dir",  # folder of prepared data
      "manual_dir": "",  # folder of the official files, read in preparation
      "options": ml_collections.ConfigDict(),  # see `OPTIONS` of its builder
      "max_bad_images": 0,  # that are skipped; more stop the preparation
      # Reading in each process; no result depends on these two. Threads that
      # make batches (0: one per core of the process, at least two; processes
      # with the same cores share them), and MiB of decoded training images
      # that are kept from epoch to epoch (0: none).
      "threads": 0,
      "cache_mib": 256,
      "pairs": "",  # pairs.json of --mode=audit, instead of the data set's own
      "train_split": "train",
      "validation_split": "validation",
      "test_splits": ("test",),
      # See `data/preprocess/op_string.py`.
      "preprocess_train": "decode|random_resized_crop(224)|flip_lr",
      "preprocess_evaluate": "decode|resize_small(256)|central_crop(224)",
    }
  )


def confounders() -> ml_collections.ConfigDict:
  """Returns the section of the confounders (used by `causal` alone)."""
  return ml_collections.ConfigDict(
    {
      "kind": "kmeans",  # random | early | label
      # Images that they are made from: source, the training images; target, the
      # test images; both. The last two LOOK AT THE TEST IMAGES, though not at
      # their labels: the results are transductive. In 'both' the larger set
      # weighs more.
      "data": "source",
      # The test splits, if `transfer.name` does not name another data set.
      "target_splits": (),
      "num": 80,  # K; 'label' has one per label
      "prior": "share",  # P(c): the cluster's share of positions | uniform
      "backbone": backbone("efficientnet_lite", "efficientnet_lite0"),
      "layer": "final",  # feature map that is clustered
      "early_layer": "stage2",  # the same for kind 'early'
      "image_size": 224,  # images are resized to it on the device
      "batch_size": 128,  # of feature extraction, global
      # Maximum number of positions, of all images together, that centres and
      # P(c) are computed from; if there are more, some positions of each map
      # are drawn at random. The shares in each training image, and prototypes
      # of labels, use all positions.
      "max_positions": 500_000,
      "max_iterations": 50,  # of Lloyd's algorithm
      "tolerance": 1e-4,  # stop at a smaller relative decrease of the inertia
      "seed": 0,
    }
  )


def train() -> ml_collections.ConfigDict:
  """Returns the section of optimisation."""
  return ml_collections.ConfigDict(
    {
      "batch_size": 64,  # global
      "epochs": 80.0,
      # adamw: decoupled weight decay; adam, sgd: decay in the gradient (L2)
      "optimizer": "adamw",
      "learning_rate": 1e-4,  # at the peak
      "schedule": "one_cycle",  # cosine | constant | step
      # one_cycle, cosine: fraction of the steps in which the rate rises
      "warmup": 0.2,
      # step: fractions of the training at which the rate is multiplied
      "step_at": (),
      "step_factor": 0.1,
      "adam_b1": 0.9,
      "adam_b2": 0.999,
      "momentum": 0.9,  # sgd
      # one_cycle: beta1 or momentum goes 0.95, 0.85, 0.95, opposite to the rate
      "cycle_momentum": False,
      "weight_decay": 1e-2,
      # Pairs (regex, factor) for parameter paths such as 'head/decoder/query':
      # factors of the learning rate (0 freezes) and of the weight decay. The
      # first full match applies, and every parameter must match one.
      "learning_rate_rules": ((".*", 1.0),),
      "weight_decay_rules": ((".*/(bias|scale)", 0.0), (".*", 1.0)),
      "clip_norm": 10.0,  # of the global gradient; 0 does not clip
      "ema_decay": 0.9997,
      "log_every": 50,  # steps between lines of metrics.jsonl
    }
  )
