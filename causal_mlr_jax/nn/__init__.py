"""Parts used by two or more backbones or methods."""
