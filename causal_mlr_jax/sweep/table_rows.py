"""Which rows each table has; the paper's numbers are in `paper_numbers.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.sweep import paper_numbers

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Row(NamedTuple):
  """One row of a table.

  Attributes:
    name: of the row, also for `--rows`.
    overrides: values by key of the configuration.
    method: the method that is trained.
    sizes_of: another method; this row takes its value of each method field
      that both have.
    weights: a name or file of pretrained weights that the row needs, see
      `weights/weight_sources.py`.
    x: where its points stand on a numeric axis.
    on_validation: whether it is tested on the validation split alone.
    at_test: values by key that training does not see: the row's run takes over
      the training of the row without them, and is tested with them.
  """

  name: str
  overrides: Mapping[str, Any] = NOTHING
  method: str = "causal"
  sizes_of: str = ""
  weights: str = ""
  x: float | None = None
  on_validation: bool = False
  at_test: Mapping[str, Any] = NOTHING


class Table(NamedTuple):
  """A table of the paper, or one of ours.

  Attributes:
    title: what is compared.
    rows: in the order in which they are shown.
    source: the paper's table.
    paper: its numbers by data set, see `plan.data_name`, and row.
    x_label: of the numeric axis.
    note: what a reader must know.
    split: which test split the paper's numbers are of, 'first' or 'last'.
    reference: the row that the others are compared with, by default the first.
    effects: whether its numbers are those of --mode=effects, not of a report.
  """

  title: str
  rows: tuple[Row, ...]
  source: str = ""
  paper: paper_numbers.ByData = NOTHING
  x_label: str = ""
  note: str = ""
  split: str = "first"
  reference: str = ""
  effects: bool = False


def _methods(names: str) -> tuple[Row, ...]:
  """Returns a row for each method, as its configuration has it."""
  return tuple(Row(name, method=name) for name in names.split())


def _rows(pattern: str, key: str, values: Sequence[Any]) -> tuple[Row, ...]:
  """Returns a row of the causal method for each value of a key."""
  return tuple(Row(pattern.format(value), {key: value}) for value in values)


def _clustered(name: str, /, **network: Any) -> Row:
  """Returns a row whose confounders come from a network of the user's file."""
  file = f"pretrained/{name}.pth"
  network["pretrained"] = file
  overrides = {f"confounders.backbone.{k}": v for k, v in network.items()}
  return Row(name, overrides, weights=file)


METHODS = _methods(
  "baseline q2l add_gcn ml_gcn ssgrl c_tran ccd tdrg ida cam_based "
  "feature_split causal"
)
# The decoupled head without an intervention.
DECOUPLE = Row("decouple", method="q2l", sizes_of="causal")
PRIOR = {"method.adjustment": "prior"}  # the paper's formula
LEARNED = {"method.learn_confounders": True}
FUSIONS = ("mean_probability", "mean_logit", "max", "decoupled", "causal")
LEARNING_RATES = (0.04, 0.02, 0.01, 0.006, 0.003, 0.0015)

TABLES = {
  "methods": Table("All methods", METHODS, "Table 1", paper_numbers.METHODS),
  "transfer": Table(
    "All methods on other data than they were trained on",
    (
      *METHODS,
      *_rows("causal_{}", "confounders.data", ("target", "both")),
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
      Row("baseline", method="baseline"),
      DECOUPLE,
      Row("decouple_causal"),
      Row("decouple_causal_prior", PRIOR),
      Row(
        "causal_alone",
        {"method.fusion": "causal", "method.decoupled_weight": 0.0},
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
    tuple(
      Row(f"K={k}", {"confounders.num": k}, x=k)
      for k in (1, 5, 20, 40, 60, 80, 100, 200, 500)
    ),
    "Table 4",
    paper_numbers.CLUSTERS,
    x_label="K",
  ),
  "clusters_prior": Table(
    "The number K of confounders under the paper's formula",
    tuple(
      Row(
        f"{form} K={k}",
        {**PRIOR, "method.intervention": form, "confounders.num": k},
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
      Row("efficientnet_lite0", weights="efficientnet_lite0"),
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
      *_rows("{}", "confounders.kind", ("random", "early", "label", "kmeans")),
      Row("mean", {"confounders.kind": "kmeans", "confounders.num": 1}),
      Row("learned", {"confounders.kind": "random", **LEARNED}),
      Row("learned_kmeans", {"confounders.kind": "kmeans", **LEARNED}),
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
      *_rows(
        "{}",
        "method.intervention",
        ("linear", "post_norm", "post_norm_ffn", "pre_norm"),
      ),
      *_rows("prior_{}", "confounders.prior", ("share", "uniform")),
      *_rows(
        "adjustment_{}", "method.adjustment", ("offset", "prior", "posterior")
      ),
      *(Row(f"fusion_{f}", at_test={"method.fusion": f}) for f in FUSIONS),
      *(
        Row(f"adjustment_prior_{f}", PRIOR, at_test={"method.fusion": f})
        for f in ("decoupled", "causal")
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
      Row("causal"),
      Row("causal_prior", PRIOR),
      *_methods("q2l c_tran baseline add_gcn"),
    ),
    effects=True,
  ),
  "tuning": Table(
    "One tuning of the learning rate for all methods",
    tuple(
      Row(
        f"{row.method} lr={rate:g}",
        {"train.learning_rate": rate, "transfer.name": ""},
        row.method,
        on_validation=True,
      )
      for row in METHODS
      for rate in LEARNING_RATES
    ),
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
