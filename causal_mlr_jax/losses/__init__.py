"""Losses: pure functions that return one value per example and label.

A new loss is a file here with a function `loss`, and a line in
`configs/registry.py`; it is found by its file name.
"""
