"""Data sets that the project draws itself: products and persons, objects, digits."""
