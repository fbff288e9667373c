"""Confounders of a set of images: features, clusters and their prior."""
