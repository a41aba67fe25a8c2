"""Appearance flow as a Keras user would write it: compile, fit, predict, and draw large.

    python examples/appearance_flow.py

Draws 200 products and the persons who wear them, trains a narrow network for a few epochs, and
writes `appearance_flow.png`: photo | drawn from the photo's own pixels | the product, of products
that training did not see. About a minute on two cores; expect patterns in rough outlines. Training
that starts from the package's own network is one command: `pixdt train --preset flow-64`.
"""

import argparse

import keras
import numpy as np

from keras_pixdt import AppearanceFlow, data, metrics

IMAGE_SIZE, PHOTO_SIZE = 64, 128  # px
DRAWN_SIZE = 128  # the network finds the flow at 64 px, and the photo is sampled at this size


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="Appearance flow on rendered products.")
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--width", type=float, default=0.25, help="the presets have 0.5")
    parser.add_argument("--out", default="appearance_flow.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs(
        "rendered", IMAGE_SIZE, num_products=arguments.products, photo_size=PHOTO_SIZE, truth=True
    )
    # Batches have the products' masks, and where their points lie in the photos.
    options = {"irrelevant": False, "truth": True}
    train = data.triplets(pairs["train"], batch_size=16, mirror=True, **options)
    test = data.triplets(pairs["test"], 64, shuffle=False, drop_remainder=False, **options)

    model = AppearanceFlow(IMAGE_SIZE, arguments.width, photo_size=PHOTO_SIZE)
    scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
    model.compile(keras.optimizers.Adam(2e-3, beta_1=0.5), metrics=scores)
    model.fit(train, validation_data=test, epochs=arguments.epochs, shuffle=False)

    shown = {name: images[::8] for name, images in test[0].items()}  # of several products
    drawn = keras.ops.convert_to_numpy(model.draw_at(shown["source"], DRAWN_SIZE))
    columns = [
        np.stack([data.resize(image, DRAWN_SIZE) for image in data.to_uint8(images)])
        for images in (shown["source"], drawn, shown["target"])
    ]
    data.write_image(arguments.out, data.image_grid(columns))


if __name__ == "__main__":  # the processes that draw import this file
    main()
