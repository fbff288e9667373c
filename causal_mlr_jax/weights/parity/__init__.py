"""Parity with published implementations, from arrays that they computed."""
