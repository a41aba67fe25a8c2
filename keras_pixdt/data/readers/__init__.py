"""Readers of data sets, one file for each layout: they return what has not been split yet."""
