"""Types, lookup by name, errors and parallelism: imported by every layer."""
