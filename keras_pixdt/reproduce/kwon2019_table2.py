"""Table 2 of Kwon et al. 2019: one, two and three stages from rough to detail.

pixdt reproduce kwon2019-table2 --data LookBook/ --splits kwon2019 --budget paper
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_pixdt import presets
from keras_pixdt.reproduce import kwon2019_table1, paired
from keras_pixdt.reproduce.result import Claim


def _method(stages: int, *paper: str) -> paired.Method:
    suffix = "" if stages == 3 else f"-n{stages}"
    return paired.Method(
        f"n{stages}",
        f"Ours (N = {stages})",
        presets.get(f"kwon2019{suffix}"),
        presets.get(f"kwon2019-64{suffix}"),
        kwon2019_table1.paper(*paper),
    )


TABLE = dataclasses.replace(
    kwon2019_table1.TABLE,
    name="kwon2019-table2",
    title="Table 2 of Kwon et al. 2019",
    methods=(
        _method(1, "0.2660", "0.5256", "0.2738"),
        _method(2, "0.2594", "0.5782", "0.2869"),
        _method(3, "0.2590", "0.5939", "0.3373"),
    ),
    claims=tuple(
        Claim(better, worse, score.key)
        for better, worse in (("n3", "n2"), ("n2", "n1"), ("n3", "n1"))
        for score in kwon2019_table1.COMPARED
    ),
)


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv)
