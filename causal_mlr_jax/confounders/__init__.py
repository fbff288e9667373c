"""Confounders of the training set: features, clusters and their prior."""
