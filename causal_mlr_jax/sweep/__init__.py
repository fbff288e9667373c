"""The tables of the paper, from one command: `python -m causal_mlr_jax.sweep`.

`table_rows.py` has the rows of each table, and a new table is an entry there;
`paper_numbers.py` has the paper's numbers. `command.py` reads the flags,
`plan.py` lists the runs, `runs.py` makes them, each in a process that
`process.py` starts. `results.py` reads what they found, `aggregate.py` takes
means over seeds, and `write_table.py` writes the table.
"""
