"""Reports on the results of a run."""
