"""Trains the weights that `pixdt train --preset flow-*` starts from.

    python -m keras_pixdt.training.make_start

Draws products with another seed than all other sets of the project, trains flow-64 on them, prints
the scores on their test split, and writes the weights to the place from which
`keras_pixdt.training.start` reads them, or to `--out`.
"""

import argparse
import pathlib

from keras_pixdt import presets
from keras_pixdt.presets.appearance_flow import DRAWN
from keras_pixdt.training import start
from keras_pixdt.training.trainer import train

SEED = 1  # of the products; all other sets of drawn products have 0


def main() -> None:
    """Trains, scores and saves."""
    parser = argparse.ArgumentParser(description="Trains the network that flow-* starts from.")
    parser.add_argument("--products", type=int, default=4000, help="to draw")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training")
    parser.add_argument("--start", default="none", help="what it starts from, see `pixdt train`")
    parser.add_argument("--workdir", default="runs/start", help="folder of the run")
    parser.add_argument("--out", default=pathlib.Path(start.__file__).with_name("start.npz"))
    arguments = parser.parse_args()

    run = train(
        presets.get("flow-64").changed([f"start={arguments.start}", *DRAWN]),
        "rendered",
        arguments.workdir,
        data_options={"num_products": arguments.products, "seed": SEED},
        minutes=arguments.minutes,
        verbose=2,
    )
    scores = run.evaluate("test", gallery="all")
    print({name: value for name, value in scores.items() if isinstance(value, float)})
    start.save(run.model, pathlib.Path(arguments.out))


if __name__ == "__main__":
    main()
