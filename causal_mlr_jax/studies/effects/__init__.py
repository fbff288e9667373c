"""Which correlations between labels are causal, and what leans on context.

`run` measures both on a trained run: effect matrices (`matrices.py`, and by
asking the model, `interventions.py`), their comparison with a known truth
(`truth.py`), and what scores lose when the context changes (`reliance.py`).
"""

from causal_mlr_jax.studies.effects.measure import check, run, split_of

__all__ = ["check", "run", "split_of"]
