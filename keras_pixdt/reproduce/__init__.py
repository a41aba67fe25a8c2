"""Experiments of the papers, for `pixdt reproduce NAME`: one module each, with `main(argv)`."""

NAMES = ("kim2017-fig4", "kim2017-fig5")
