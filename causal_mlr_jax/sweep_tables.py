"""The tables that a sweep fills: their rows, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name

# Exclusive, Co-occur, All, in percent; None where the paper has none.
Numbers = tuple[float | None, float | None, float | None]


class Row(NamedTuple):
  """One row of a table.

  Attributes:
    name: of the row, and of `--rows`.
    method: the argument of the configuration file.
    overrides: values by key of the configuration.
    sizes_of: a method whose values the row's method takes, key by key, where
      both have the key.
    weights: that it needs, a name or a file, see `weights/pretrained.py`.
    x: where its points stand on a numeric axis.
  """

  name: str
  method: str
  overrides: Mapping[str, Any] = MappingProxyType({})
  sizes_of: str = ""
  weights: str = ""
  x: float | None = None


class Table(NamedTuple):
  """A table of the paper, or one of ours.

  Attributes:
    title: what is compared.
    rows: the first one is what the others are compared with.
    source: the paper's table.
    paper: its numbers by data set, see `data_name`, and row.
    x_label: of the numeric axis.
    note: what a reader must know.
  """

  title: str
  rows: tuple[Row, ...]
  source: str = ""
  paper: Mapping[str, Mapping[str, Numbers]] = MappingProxyType({})
  x_label: str = ""
  note: str = ""


def _causal(
  name: str, x: float | None = None, weights: str = "", **overrides: Any
) -> Row:
  """Returns a row of `causal`; '__' in a key stands for a dot."""
  keys = {key.replace("__", "."): value for key, value in overrides.items()}
  return Row(name, "causal", keys, weights=weights, x=x)


def _clustered(name: str, /, **fields: Any) -> Row:
  """Returns a row whose confounders come from a network of the user's file."""
  file = f"pretrained/{name}.pth"
  fields = {f"confounders__backbone__{k}": v for k, v in fields.items()}
  fields["confounders__backbone__pretrained"] = file
  return _causal(name, weights=file, **fields)


METHODS = tuple(
  Row(name, name)
  for name in (
    "baseline",
    "q2l",
    "add_gcn",
    "ml_gcn",
    "ssgrl",
    "c_tran",
    "ccd",
    "tdrg",
    "ida",
    "cam_based",
    "feature_split",
    "causal",
  )
)

COCO_STUFF = {
  "q2l": (23.5, 67.1, 57.2),
  "add_gcn": (20.6, 64.8, 55.2),
  "ml_gcn": (18.6, 67.1, 55.1),
  "ssgrl": (18.1, 66.6, 54.9),
  "c_tran": (22.4, 65.1, 55.4),
  "ccd": (23.8, 65.3, 55.9),
  "tdrg": (20.0, 64.8, 56.2),
  "ida": (25.2, 64.9, 57.0),
  "cam_based": (26.4, 64.9, None),
  "feature_split": (28.8, 66.0, None),
  "baseline": (21.9, 65.5, 55.0),
  "causal": (29.7, 69.6, 60.6),
}
DEEPFASHION = {
  "q2l": (12.8, 26.3, 26.1),
  "add_gcn": (8.2, 22.6, 23.5),
  "ml_gcn": (10.3, 23.7, 24.0),
  "ssgrl": (7.9, 22.8, 23.1),
  "c_tran": (11.4, 24.6, 24.8),
  "ccd": (11.5, 24.2, 24.6),
  "tdrg": (8.1, 22.9, 23.6),
  "ida": (11.3, 25.1, 25.4),
  "feature_split": (9.2, 20.1, None),
  "baseline": (11.5, 24.1, 24.1),
  "causal": (14.6, 27.4, 28.8),
}
# From COCO to NUS-WIDE, and from NUS-WIDE to COCO: mAP of all shared labels.
TRANSFER = {
  "add_gcn": (81.8, 77.2),
  "ml_gcn": (81.4, 77.2),
  "ssgrl": (80.2, 76.1),
  "c_tran": (80.9, 76.9),
  "ccd": (81.9, 78.3),
  "q2l": (82.1, 78.6),
  "ida": (82.3, 78.9),
  "cam_based": (81.0, 77.8),
  "feature_split": (81.9, 78.3),
  "baseline": (81.1, 77.1),
  "causal": (83.2, 80.2),
}
CLUSTERS = (1, 5, 20, 40, 60, 80, 100, 200, 500)
INTERVENTIONS = ("linear", "post_norm", "post_norm_ffn", "pre_norm")
PRIORS = ("share", "uniform")
FUSIONS = ("mean_probability", "mean_logit", "max", "decoupled", "causal")

TABLES = {
  "methods": Table(
    "All methods",
    METHODS,
    "Table 1",
    {"coco_stuff": COCO_STUFF, "deepfashion": DEEPFASHION},
  ),
  "transfer": Table(
    "All methods on other data than they were trained on",
    METHODS,
    "Table 2",
    {
      "coco to nus_wide": {
        k: (None, None, v) for k, (v, _) in TRANSFER.items()
      },
      "nus_wide to coco": {
        k: (None, None, v) for k, (_, v) in TRANSFER.items()
      },
    },
    note="Confounders are of the data trained on; those of the data tested on, "
    "or of both, cannot be chosen yet and have no rows.",
  ),
  "modules": Table(
    "The parts of the causal method",
    (
      Row("baseline", "baseline"),
      Row("decouple", "q2l", sizes_of="causal"),
      _causal("decouple_causal"),
      _causal(
        "causal_alone", method__fusion="causal", method__decoupled_weight=0.0
      ),
    ),
    "Table 3",
    {
      "coco_stuff": {
        "baseline": (21.9, 65.5, 55.0),
        "decouple": (22.1, 67.0, 56.8),
        "decouple_causal": (29.7, 69.6, 60.6),
      }
    },
    note="Where a configuration has recipes, :causal,common trains all rows "
    "by the same one.",
  ),
  "clusters": Table(
    "The number K of confounders",
    tuple(_causal(f"K={k}", k, confounders__num=k) for k in CLUSTERS),
    "Table 4",
    {
      "coco_stuff": {
        "K=20": (26.9, 68.9, 59.6),
        "K=40": (26.8, 69.3, 60.1),
        "K=60": (29.3, 69.8, 60.2),
        "K=80": (29.7, 69.6, 60.6),
        "K=100": (29.5, 69.4, 60.5),
      }
    },
    x_label="K",
  ),
  "confounder_backbone": Table(
    "The network whose features are clustered",
    (
      _causal("efficientnet_lite0", weights="efficientnet_lite0"),
      _clustered("resnet50", name="resnet", depth=50),
      _clustered("resnet101", name="resnet", depth=101),
      _clustered("beit3_large", name="beit3", size="large"),
    ),
    "Table 5",
    {
      "coco_stuff": {
        "resnet50": (29.7, 69.6, 60.6),
        "resnet101": (29.6, 69.9, 60.5),
        "beit3_large": (29.4, 69.7, 60.5),
      }
    },
    note="Weights other than those of efficientnet_lite0 are files to be put "
    "into pretrained/ of the folder that the sweep is started in.",
  ),
  "confounder_kind": Table(
    "What the confounders are",
    (
      _causal("random", confounders__kind="random"),
      _causal("early", confounders__kind="early"),
      _causal("label", confounders__kind="label"),
      _causal("kmeans", confounders__kind="kmeans"),
      _causal("mean", confounders__kind="kmeans", confounders__num=1),
    ),
    "Table 6",
    {
      "coco_stuff": {
        "random": (22.1, 66.3, 56.1),
        "early": (27.8, 69.1, 60.1),
        "label": (28.0, 69.3, 60.3),
        "kmeans": (29.7, 69.6, 60.6),
      }
    },
    note="Learned confounders do not exist here and have no row.",
  ),
  "intervention": Table(
    "The form of the intervention, the prior and the fusion",
    (
      *(_causal(name, method__intervention=name) for name in INTERVENTIONS),
      *(_causal(f"prior_{p}", confounders__prior=p) for p in PRIORS),
      *(
        _causal(f"adjustment_{name}", method__adjustment=name)
        for name in ("prior", "posterior")
      ),
      *(_causal(f"fusion_{name}", method__fusion=name) for name in FUSIONS),
    ),
    note="post_norm, prior_share, adjustment_prior and fusion_mean_probability "
    "are one and the same run where a configuration keeps these defaults.",
  ),
}


def find(name: str) -> Table:
  """Returns the table of a name.

  Raises:
    UserError: there is none.
  """
  if name not in TABLES:
    raise unknown_name("table", name, TABLES)
  return TABLES[name]


def select(table: Table, names: Sequence[str]) -> tuple[Row, ...]:
  """Returns the rows of these names, in the table's order; all for none.

  Raises:
    UserError: a name is not a row of the table, or given twice.
  """
  rows = {row.name: row for row in table.rows}
  for name in names:
    if name not in rows:
      raise unknown_name("row", name, rows)
  if len(set(names)) < len(names):
    raise UserError(
      f"--rows={','.join(names)} names a row twice; expected each name once. "
      "Leave out one of the two."
    )
  return tuple(row for row in table.rows if row.name in names or not names)


def data_name(config: Mapping[str, Any]) -> str:
  """Returns what a configuration is tested on: 'NAME', or 'NAME to NAME'."""
  source, target = config["data"]["name"], config["transfer"]["name"]
  return f"{source} to {target}" if target else source


def tested_split(config: Mapping[str, Any]) -> str:
  """Returns the name in a report of the split that the paper's numbers are of.

  With another data set to test on it is that one's.
  """
  target = config["transfer"]
  if target["name"]:
    return f"{target['name']}:{target['test_splits'][0]}"
  return config["data"]["test_splits"][0]
