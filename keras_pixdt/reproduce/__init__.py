"""Experiments of the papers, for `pixdt reproduce NAME`: one module each, with `main(argv)`."""

NAMES = (
    "kim2017-fig4",
    "kim2017-fig5",
    "taigman2017-table1",
    "taigman2017-table2",
    "taigman2017-table3",
    "taigman2017-table4",
    "taigman2017-fig8",
)
