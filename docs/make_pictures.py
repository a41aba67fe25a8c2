"""Draws the README's first picture: photos, large drawings of their garments, and the products.

    python docs/make_pictures.py --workdir runs/demo

The persons are those who wear the first products of the run's test split, one of each kind of
garment. The last photo is NASA's portrait of the astronaut Eileen Collins, which is in the public
domain and comes with scikit-image; it has no product image.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

from keras_pixdt.drawn import rendered
from keras_pixdt.training.run import Run, load_run

PICTURE = pathlib.Path(__file__).resolve().parent / "images" / "first.jpg"
DRAWN_PX = 512
TILE_PX = 240
PER_ROW = 2


def portrait() -> np.ndarray:
    """The astronaut, uint8 (512, 512, 3)."""
    from skimage import data

    return data.astronaut()


def shown(run: Run, count: int) -> list[rendered.Product]:
    """The first products of the test split, each of another category."""
    chosen: dict[str, rendered.Product] = {}
    for number in run.pairs()["test"].product_id:
        product = rendered.sample_product(int(number), int(run.data.get("seed", 0)))
        chosen.setdefault(product.category, product)
    return list(chosen.values())[:count]


def triples(run: Run, count: int) -> list[list[np.ndarray]]:
    """Photo, drawing and product image of each product; of the portrait the first two."""
    found = []
    for product in shown(run, count - 1):
        photo = rendered.draw_person(product, 0, DRAWN_PX)
        drawn = run.convert_photo(photo, size=DRAWN_PX)
        found.append([photo, drawn, rendered.draw_product(product, DRAWN_PX)])
    photo = portrait()
    return [*found, [photo, run.convert_photo(photo, size=DRAWN_PX)]]


def page(rows: list[list[np.ndarray]]) -> Image.Image:
    """Triples beside and below each other, on white."""
    lines = -(-len(rows) // PER_ROW)
    made = Image.new("RGB", (3 * TILE_PX * PER_ROW, TILE_PX * lines), "white")
    for i, images in enumerate(rows):
        for j, image in enumerate(images):
            tile = Image.fromarray(image).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
            place = (3 * (i % PER_ROW) + j) * TILE_PX, i // PER_ROW * TILE_PX
            made.paste(tile, place)
    return made


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="a run on drawn products")
    parser.add_argument("--out", type=pathlib.Path, default=PICTURE)
    parser.add_argument("--count", type=int, default=6, help="triples, the portrait included")
    options = parser.parse_args()
    made = page(triples(load_run(options.workdir), options.count))
    made.save(options.out, quality=88, optimize=True)
    print(f"{options.out}: {made.width} x {made.height} px")


if __name__ == "__main__":
    main()
