"""The causal head: the score under do(X), and its expectation over confounders.

`confounder_expectation.py` computes the paper's formula exactly, in several
forms; `causal_head.py` holds its parameters. `methods/causal.py` uses both.
"""
