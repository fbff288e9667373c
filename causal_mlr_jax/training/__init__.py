"""Model, optimiser, step, loop and checkpoints."""
