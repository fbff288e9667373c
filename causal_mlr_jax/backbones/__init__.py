"""Networks from image to `Features`; found by their file's name."""
