"""How many pairs and how many minutes give how good a picture.

    python benchmarks/learning_curve.py --data STREET --products 50 150 525 --minutes 2 5 10 \
        --out runs/curve

Trains each preset on the first products of the training split, each cell of the table for itself,
since a preset's rates are spread over its minutes. All cells are scored alike: on the whole test
split, with the products of all splits as gallery, by one embedder that is trained on the largest
training split. A run that is there is not trained again, and an interrupted one goes on. Minutes
are those of this machine: train on an otherwise idle one.

Writes `curve.json`, `curve.png` (scores over minutes) and `pictures.png` (what the first and the
last cell of each preset draw).
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import _common
from keras_pixdt import data, presets, search
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.training import evaluation, inputs
from keras_pixdt.training.run import Run, load_run
from keras_pixdt.training.trainer import train

SCORES = {"rmse": "RMSE", "c_ssim": "C-SSIM", "recall@10": "Recall@10"}
SHOWN = 8  # test photos in `pictures.png`


class Cell(NamedTuple):
    """One training: the preset's name, the number of products, and minutes."""

    preset: str
    products: int
    minutes: float

    @property
    def folder(self) -> str:
        """Its name among the folders of the curve."""
        return f"{self.preset}-{self.products}-{self.minutes:g}"


def fewer(splits: Mapping[str, PairSet], products: int) -> dict[str, PairSet]:
    """The splits with the first products of the training split only.

    Raises:
        ValueError: there are not as many.
    """
    whole = splits["train"]
    ids = np.unique(whole.product_id)
    if products > len(ids):
        raise ValueError(
            f"--products must be at most the {len(ids)} products of the training split. "
            f"Received: {products}"
        )
    return {**splits, "train": whole.select(np.isin(whole.product_id, ids[:products]))}


def trained(cell: Cell, splits: Mapping[str, PairSet], data_name: str, out: pathlib.Path) -> Run:
    """The cell's run, trained unless it is there."""
    folder = out / cell.folder
    if (folder / "model.keras").exists():
        return load_run(folder)
    preset = presets.get(cell.preset)
    few = fewer(splits, cell.products)
    return train(preset, data_name, folder, splits=few, minutes=cell.minutes, verbose=0)


def measure(
    cells: Sequence[Cell], data_name: str, out: pathlib.Path
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Trains and scores all cells.

    Returns:
        A row of scores for each cell, and lines of images for `pictures.png`.
    """
    rows, lines = [], {}
    for name in dict.fromkeys(cell.preset for cell in cells):
        preset = presets.get(name)
        splits = inputs.load(preset, inputs.absolute({"data": data_name}))
        embedder = search.train_embedder(splits["train"].targets, resize=preset.resize)
        test = splits["test"]
        shown = np.linspace(0, len(test) - 1, SHOWN).astype(int)
        own = [cell for cell in cells if cell.preset == name]
        for cell in own:
            run = trained(cell, splits, data_name, out)
            scores = evaluation.evaluate(run.convert, splits, gallery="all", embedder=embedder)
            row = {key: float(scores[key]) for key in SCORES}
            errors = {key: scores["standard_errors"].get(key) for key in SCORES}
            rows.append({**cell._asdict(), **row, "standard_errors": errors})
            print(line_of(rows[-1]), flush=True)
            if cell in (own[0], own[-1]):
                photos = data.to_float(test.sources[shown])
                lines[cell.folder] = data.to_uint8(run.convert(photos))
        lines["products"] = test.targets[test.target_index[shown]]
    products = lines.pop("products")
    return rows, [*lines.values(), products]


def line_of(row: Mapping[str, Any]) -> str:
    scores = "".join(f"{row[key]:10.3f}" for key in SCORES)
    return f"{row['preset']:14}{row['products']:9}{row['minutes']:9g}{scores}"


def draw_curves(rows: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Each score over minutes, a line for each preset and number of products."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SCORES), figsize=(4 * len(SCORES), 3.4))
    counts = sorted({row["products"] for row in rows})
    styles = dict(zip(counts, (":", "--", "-.", "-")[-len(counts) :], strict=False))
    for panel, (key, title) in zip(panels, SCORES.items(), strict=True):
        for number, preset in enumerate(dict.fromkeys(row["preset"] for row in rows)):
            for products in counts:
                own = [r for r in rows if (r["preset"], r["products"]) == (preset, products)]
                panel.plot(
                    [row["minutes"] for row in own],
                    [row[key] for row in own],
                    styles.get(products, "-"),
                    color=f"C{number}",
                    marker="o",
                    label=f"{preset}, {products} products",
                )
        panel.set_xscale("log")
        minutes = sorted({row["minutes"] for row in rows})
        panel.set_xticks(minutes, [f"{m:g}" for m in minutes])
        panel.minorticks_off()
        panel.set(title=title, xlabel="minutes")
    panels[0].legend(fontsize="x-small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--data", default="rendered")
    parser.add_argument("--presets", nargs="+", default=["flow-64", "demo", "pix2pix-64"])
    parser.add_argument("--products", type=int, nargs="+", default=[50, 150, 525])
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 5, 10])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/curve"))
    options = parser.parse_args()
    options.output = options.output or options.out / "curve.json"
    options.out.mkdir(parents=True, exist_ok=True)
    cells = [
        Cell(preset, products, minutes)
        for preset in options.presets
        for products in sorted(options.products)
        for minutes in sorted(options.minutes)
    ]
    titles = "".join(f"{title:>10}" for title in SCORES.values())
    print(f"{'preset':14}{'products':>9}{'minutes':>9}{titles}")
    rows, lines = measure(cells, options.data, options.out)
    _common.write_json(options, {"cells": rows}, ("keras", "tensorflow", "numpy"))
    draw_curves(rows, options.out / "curve.png")
    side = max(images.shape[1] for images in lines)
    fitted = [np.stack([data.letterbox(x, side) for x in images]) for images in lines]
    grid = data.image_grid([np.stack(column) for column in zip(*fitted, strict=True)])
    Image.fromarray(grid).save(options.out / "pictures.png")


if __name__ == "__main__":
    main()
