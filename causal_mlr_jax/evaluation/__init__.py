"""Metrics: average precision, Exclusive / Co-occur / All, top-k recall.

`metrics.compute` returns all of them for one test set. A new metric is a file
here, on arrays of the host, called from there.
"""
