"""Layers used by two or more backbones or methods; they know of no labels.

Parts of heads are in `heads/`, the causal head in `causal/`. A new layer is a
file here once a second user needs it.
"""
