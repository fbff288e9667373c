"""The tables of the paper, from one command: `python -m causal_mlr_jax.sweep`.

`tables.py` says which rows a table has, `paper_numbers.py` what the paper
reports; a new table is an entry in the first. `command.py` reads the flags.
"""
