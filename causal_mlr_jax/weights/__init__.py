"""Published weights, read without torch and without running their code."""
