"""The tables that a sweep fills: their rows, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.sweep import paper_numbers

# Of the learning rate, for the table `tuning`.
RATES = (0.04, 0.02, 0.01, 0.006, 0.003, 0.0015)


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
    on_validation: tested on the configuration's validation split alone.
    at_test: values by key that training does not see: its run takes over the
      training of the row without them, and is tested with them.
  """

  name: str
  method: str
  overrides: Mapping[str, Any] = MappingProxyType({})
  sizes_of: str = ""
  weights: str = ""
  x: float | None = None
  on_validation: bool = False
  at_test: Mapping[str, Any] = MappingProxyType({})


class Table(NamedTuple):
  """A table of the paper, or one of ours.

  Attributes:
    title: what is compared.
    rows: in the order in which they are shown.
    source: the paper's table.
    paper: its numbers by data set, see `data_name`, and row.
    x_label: of the numeric axis.
    note: what a reader must know.
    split: which test split the numbers are of, 'first' or 'last'.
    reference: the row that the others are compared with, by default the first.
    effects: its numbers are those of --mode=effects, not those of a report.
  """

  title: str
  rows: tuple[Row, ...]
  source: str = ""
  paper: paper_numbers.ByData = MappingProxyType({})
  x_label: str = ""
  note: str = ""
  split: str = "first"
  reference: str = ""
  effects: bool = False


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


def _learned(name: str, kind: str) -> Row:
  """Returns a row whose confounders start as a kind and are trained."""
  return _causal(name, confounders__kind=kind, method__learn_confounders=True)


def _tuned(method: str, rate: float) -> Row:
  """Returns a row of a method at a learning rate, tested on validation."""
  return Row(
    f"{method} lr={rate:g}",
    method,
    {"train.learning_rate": rate, "transfer.name": ""},
    on_validation=True,
  )


# The decoupled head without an intervention.
DECOUPLE = Row("decouple", "q2l", sizes_of="causal")

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

CLUSTERS = (1, 5, 20, 40, 60, 80, 100, 200, 500)
INTERVENTIONS = ("linear", "post_norm", "post_norm_ffn", "pre_norm")
PRIORS = ("share", "uniform")
ADJUSTMENTS = ("offset", "prior", "posterior")
FUSIONS = ("mean_probability", "mean_logit", "max", "decoupled", "causal")

TABLES = {
  "methods": Table(
    "All methods",
    METHODS,
    "Table 1",
    paper_numbers.METHODS,
  ),
  "transfer": Table(
    "All methods on other data than they were trained on",
    (
      *METHODS,
      _causal("causal_target", confounders__data="target"),
      _causal("causal_both", confounders__data="both"),
    ),
    "Table 2",
    paper_numbers.TRANSFER,
    note="The confounders of causal are of the images trained on. Those of "
    "causal_target are of the images tested on, those of causal_both of all of "
    "them: these two rows look at the test images, without their labels, and "
    "the others do not.",
    split="last",
  ),
  "modules": Table(
    "The parts of the causal method",
    (
      Row("baseline", "baseline"),
      DECOUPLE,
      _causal("decouple_causal"),
      _causal("decouple_causal_prior", method__adjustment="prior"),
      _causal(
        "causal_alone", method__fusion="causal", method__decoupled_weight=0.0
      ),
    ),
    "Table 3",
    paper_numbers.MODULES,
    note="decouple_causal_prior is the paper's formula, in which no image is "
    "trained with its own confounders; decouple_causal is our default, in "
    "which it is. Where a configuration has recipes, :causal,common trains all "
    "rows by the same one.",
    reference="decouple",
  ),
  "clusters": Table(
    "The number K of confounders",
    tuple(_causal(f"K={k}", k, confounders__num=k) for k in CLUSTERS),
    "Table 4",
    paper_numbers.CLUSTERS,
    x_label="K",
  ),
  "clusters_prior": Table(
    "The number K of confounders under the paper's formula",
    tuple(
      _causal(
        f"{form} K={k}",
        method__adjustment="prior",
        method__intervention=form,
        confounders__num=k,
      )
      for form, sizes in (("post_norm", (1, 20, 80, 500)), ("linear", (1, 80)))
      for k in sizes
    ),
    note="Under linear the expectation needs the confounders' mean alone, so "
    "there K can make no difference but that of rounding.",
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
    paper_numbers.CONFOUNDER_BACKBONE,
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
      _learned("learned", "random"),
      _learned("learned_kmeans", "kmeans"),
      DECOUPLE,
    ),
    "Table 6",
    paper_numbers.CONFOUNDER_KIND,
    note="The centres of learned start as those of random, the centres of "
    "learned_kmeans as those of kmeans; both are trained with the rest, under "
    "the P(c) that they start with. decouple has no confounders.",
  ),
  "intervention": Table(
    "The form of the intervention, the prior and the fusion",
    (
      *(_causal(name, method__intervention=name) for name in INTERVENTIONS),
      *(_causal(f"prior_{p}", confounders__prior=p) for p in PRIORS),
      *(
        _causal(f"adjustment_{name}", method__adjustment=name)
        for name in ADJUSTMENTS
      ),
      *(
        Row(f"fusion_{name}", "causal", at_test={"method.fusion": name})
        for name in FUSIONS
      ),
      *(
        Row(
          f"adjustment_prior_{name}",
          "causal",
          {"method.adjustment": "prior"},
          at_test={"method.fusion": name},
        )
        for name in ("decoupled", "causal")
      ),
      DECOUPLE,
    ),
    note="The configuration's own form (post_norm, in context_emoji linear), "
    "prior_share, adjustment_offset and fusion_mean_probability are one and "
    "the same run where it keeps these defaults; adjustment_prior is the "
    "paper's formula. Priors, adjustments and fusions are of that form. All "
    "fusions are of one training, and of its best checkpoint by the default; "
    "adjustment_prior_decoupled and _causal are one head of adjustment_prior. "
    "decouple is trained without an intervention.",
    reference="decouple",
  ),
  "effects": Table(
    "Which effects are causal, and what scores lean on",
    (
      _causal("causal"),
      _causal("causal_prior", method__adjustment="prior"),
      *(Row(name, name) for name in ("q2l", "c_tran", "baseline", "add_gcn")),
    ),
    effects=True,
  ),
  "tuning": Table(
    "One tuning of the learning rate for all methods",
    tuple(_tuned(row.method, rate) for row in METHODS for rate in RATES),
    note="Scored on the validation split alone, and meant for --seeds=100, a "
    "seed that no result is of: the best rate of each method by All is copied "
    "into the configuration by hand, and no test image has a say in it. The "
    "first training of ccd, cam_based and feature_split keeps its rate.",
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
