"""Metrics: average precision, Exclusive / Co-occur / All, top-k recall."""
