"""Multi-label image recognition with context taken out by intervention.

`load(WORKDIR)` returns a trained model, see `inference/trained_model.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from causal_mlr_jax.inference.trained_model import load

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> object:
  # Imported when used: the program's flags need no JAX.
  if name == "load":
    from causal_mlr_jax.inference import trained_model

    return trained_model.load
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
