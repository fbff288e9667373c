"""Confounders of a set of images: features, clusters and their prior.

`build.py` builds and loads them and is what other layers import; `kmeans.py`
clusters sharded rows. A new kind is a function in `kinds_of_confounders.py`.
"""
