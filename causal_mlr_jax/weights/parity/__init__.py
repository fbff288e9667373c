"""Parity with published implementations, by arrays that they computed."""
