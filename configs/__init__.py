"""Configurations: `common.py` has every key; each job has one short file."""
