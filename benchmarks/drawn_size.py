"""Compares `convert_photo(photo, size)` with the enlarged small drawing.

    python benchmarks/drawn_size.py --workdir runs/street --size 256

Draws the test photos of a run of `flow-*` at `--size` from the photos' own pixels, and at the
network's size, enlarged. Both are compared with the products at `--size`:

| column | |
| --- | --- |
| gradient energy | mean square of the differences of neighbouring pixels in [0, 1] where the product is not white, as a share of the product's own: sharpness, right or wrong |
| SSIM | of Wang et al. 2004, in gray |
| RMSE | on [0, 1] |

Prints medians over the photos, and in how many photos the large drawing is better.
"""  # noqa: E501

import argparse
import dataclasses

import numpy as np
from keras import ops

import keras_pixdt
from keras_pixdt import data, metrics
from keras_pixdt.models.appearance_flow import garment_mask
from keras_pixdt.training import inputs


def gradient_energy(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean square of the differences of neighbours, both inside the mask, of each image."""
    total, count = np.zeros(len(images)), np.zeros(len(images))
    for axis in (1, 2):
        inside = (np.diff(mask, axis=axis) == 0) & (np.delete(mask, 0, axis) > 0)
        total += (np.diff(images / 2, axis=axis) ** 2 * inside).mean(3).sum((1, 2))
        count += inside.sum((1, 2, 3))
    return total / np.maximum(count, 1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Large drawings beside enlarged small ones.")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    size = arguments.size

    run = keras_pixdt.load_run(arguments.workdir)
    preset = dataclasses.replace(run.preset, image_size=size, photo_size=2 * size)
    pairs = inputs.load(preset, run.data)[arguments.split]
    photos = pairs.sources[np.arange(len(pairs))]
    products = data.to_float(pairs.targets[pairs.target_index])
    mask = ops.convert_to_numpy(garment_mask(products))  # without the white parts of garments
    drawn = {
        "enlarged": [data.resize(run.convert_photo(photo), size) for photo in photos],
        "large": [run.convert_photo(photo, size=size) for photo in photos],
    }
    scores = {}
    for name, images in drawn.items():
        found = data.to_float(np.stack(images))
        own = gradient_energy(products, mask)
        energy = gradient_energy(found, mask) / np.where(own > 0, own, np.nan)
        scores[name] = {
            "gradient energy": energy,
            "SSIM": ops.convert_to_numpy(metrics.ssim(found, products)),
            "RMSE": ops.convert_to_numpy(metrics.rmse(found, products)),
        }
    print(f"{len(photos)} photos, drawn at {size} px by a network of {run.model.drawn_size} px")
    print(f"{'':18}{'enlarged':>10}{'large':>10}{'better in':>12}")
    for score, enlarged in scores["enlarged"].items():
        large = scores["large"][score]
        better = (large < enlarged if score == "RMSE" else large > enlarged).mean()
        print(f"{score:18}{np.nanmedian(enlarged):10.4f}{np.nanmedian(large):10.4f}{better:12.0%}")


if __name__ == "__main__":
    main()
