"""LookBook: persons and the garments that they wear."""
