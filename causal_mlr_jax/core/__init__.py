"""Types, errors, files and parallelism, used by every layer."""
