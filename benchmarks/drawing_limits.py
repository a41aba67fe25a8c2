"""What limits the drawings of a model that moves pixels: its mask, its garment, or where it is.

    python benchmarks/drawing_limits.py --workdir runs/street

Scores each split as drawn; with the true mask instead of the found one; with the product image
inside the found mask; and with the drawing scaled and shifted as fits the product image best. The
gap between the splits tells how much of an error is of photos that training has not seen. Masks
are taken from the white ground of the product images.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from keras import ops

from keras_pixdt import data, metrics
from keras_pixdt.layers import AffineFlow, warp
from keras_pixdt.models.appearance_flow import AppearanceFlow, Parts, garment_mask
from keras_pixdt.models.appearance_flow_networks import composed
from keras_pixdt.training.run import Run, load_run

BATCH = 32
SCALES = (0.8, 0.9, 1.0, 1.1, 1.2)
SHIFTS = (-0.12, -0.06, 0.0, 0.06, 0.12)  # of a width of 2
DRAWN = "as drawn"


def variants(parts: Parts, product: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> drawing and mask, with some part of them replaced by the true one.

    Args:
        parts: what the network finds.
        product: float32 (batch, height, width, 3) in [-1, 1].
    """
    truth = ops.convert_to_numpy(garment_mask(product))
    mask = ops.convert_to_numpy(ops.sigmoid(parts.mask))
    garment = ops.convert_to_numpy(parts.garment())
    drawn = composed(garment, mask)
    return {
        DRAWN: (drawn, mask),
        "true mask": (composed(garment, truth), truth),
        "true garment": (composed(np.where(truth > 0, product, garment), mask), mask),
        "best place": best_place(drawn, mask, product),
    }


def best_place(
    drawn: np.ndarray, mask: np.ndarray, product: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each drawing and its mask, scaled and shifted so that its RMSE is the least."""
    images = np.concatenate([drawn, mask], -1)
    best, least = images.copy(), ops.convert_to_numpy(metrics.rmse(drawn, product))
    for along, down, right, below in itertools.product(SCALES, SCALES, SHIFTS, SHIFTS):
        affine = np.tile(np.float32([along, 0, right, 0, down, below]), (len(images), 1))
        moved = ops.convert_to_numpy(warp(images, AffineFlow(images.shape[1])(affine)))
        error = ops.convert_to_numpy(metrics.rmse(moved[..., :3], product))
        better = error < least
        best[better], least[better] = moved[better], error[better]
    return best[..., :3], best[..., 3:]


def limits(run: Run, split: str, photos: int) -> dict[str, dict[str, float]]:
    """Variant -> score -> mean over photos, spread evenly over a split."""
    pairs = run.pairs()[split]
    rows = np.unique(np.linspace(0, len(pairs) - 1, photos).astype(int))
    seen: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(rows), BATCH):
        batch = rows[first : first + BATCH]
        product = data.to_float(pairs.targets[pairs.target_index[batch]])
        maps = run.model.finder(data.to_float(pairs.sources[batch]), training=False)
        true = ops.convert_to_numpy(garment_mask(product))
        for name, (drawn, mask) in variants(Parts.of(maps), product).items():
            scores = [
                metrics.rmse(drawn, product),
                metrics.color_ssim(drawn, product),
                metrics.mask_iou(mask, true),
            ]
            seen.setdefault(name, []).append(np.stack(list(map(ops.convert_to_numpy, scores))))
    names = ("RMSE", "C-SSIM", "IoU")
    return {
        name: dict(zip(names, np.concatenate(scores, 1).mean(1).tolist(), strict=True))
        for name, scores in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument("--splits", nargs="+", default=["train", "validation"])
    parser.add_argument("--photos", type=int, default=288, help="of each split, at most")
    options = parser.parse_args()
    run = load_run(options.workdir)
    if not isinstance(run.model, AppearanceFlow):
        parser.error(f"{options.workdir} holds no model that moves pixels, such as flow-64")
    for split in options.splits:
        print(f"{split:14}{'RMSE':>8}{'C-SSIM':>8}{'IoU':>8}")
        for name, scores in limits(run, split, options.photos).items():
            print(f"  {name:12}" + "".join(f"{score:8.3f}" for score in scores.values()))


if __name__ == "__main__":
    main()
