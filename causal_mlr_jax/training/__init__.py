"""Model, optimiser, training step and loop, checkpoints and prediction."""
