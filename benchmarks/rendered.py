"""Speed of the procedural LookBook: images per second on one core.

    python benchmarks/rendered.py --output runs/benchmarks/rendered.json

A product alone and each of its person images count as one image. The time is the processor time
of this process, which leaves out what else the machine does. A process draws the places behind the
persons once, here before the clock starts.
"""

from __future__ import annotations

import time

import _common
from keras_pixdt.drawn import rendered


def measure(image_size: int, num_products: int) -> dict[str, float]:
    """Draws `num_products` products and returns the images drawn and the seconds that it took."""
    # 16 places in 6 variants: after 100 products hardly any is left to be drawn.
    for _ in rendered.render(100, image_size, seed=1, processes=1):
        pass
    start = time.process_time()
    images = sum(
        1 + len(drawn.sources)
        for drawn in rendered.render(num_products, image_size, seed=2, processes=1)
    )
    seconds = time.process_time() - start
    return {"images": images, "seconds": seconds, "images_per_second_per_core": images / seconds}


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--products", type=int, default=60, help="products drawn at each size")
    arguments = parser.parse_args()
    results = {}
    print(f"{'size':>6} {'images':>8} {'seconds':>8} {'images/s per core':>18}")
    for size in arguments.image_sizes:
        result = measure(size, arguments.products)
        results[str(size)] = result
        print(
            f"{size:>6} {result['images']:>8} {result['seconds']:>8.2f} "
            f"{result['images_per_second_per_core']:>18.1f}"
        )
    _common.write_json(arguments, results, ("numpy", "pillow"))


if __name__ == "__main__":
    main()
