"""Multi-label image recognition with context taken out by intervention."""

__version__ = "0.1.0"
