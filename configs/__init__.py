"""Configurations: `common.py` holds every key, one short file a job."""
