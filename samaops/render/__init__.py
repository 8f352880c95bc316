"""One module per face of a Report."""
