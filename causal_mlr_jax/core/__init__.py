"""Types, errors, files and parallelism, used by every layer.

Everything may be imported from anywhere. What belongs to one layer alone, or
needs a layer to be understood, is not for here.
"""
