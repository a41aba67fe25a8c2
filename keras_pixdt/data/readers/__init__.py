"""Readers of data sets, one file per layout; they return data that is not split yet."""
