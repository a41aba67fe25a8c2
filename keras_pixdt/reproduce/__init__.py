"""Experiments of the papers, each a module that a command runs."""
