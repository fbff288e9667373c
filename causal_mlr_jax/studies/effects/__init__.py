"""Which correlations between labels are causal, and which scores need context.

`run` measures both on a trained run: effect matrices (from observations in
`matrices.py`, from the model in `interventions.py`), their comparison with a
known truth (`truth.py`), and how scores change with the context
(`reliance.py`).
"""

from causal_mlr_jax.studies.effects.measure import check, run, split_of

__all__ = ["check", "run", "split_of"]
