"""pix2pix (Isola et al. 2017) as a Keras user would write it: compile, fit, predict.

    python examples/pix2pix.py

Draws 200 products and the persons who wear them, trains a narrow network for a few epochs, and
writes `pix2pix.png`: photo | drawn by the network | the product, of products that training did not
see. Under a minute on two cores; expect no more than rough shapes, dark or light.
"""

import argparse

import keras

from keras_pixdt import Pix2Pix, data, metrics


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="pix2pix on rendered products.")
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.125, help="1 is the paper's network")
    parser.add_argument("--out", default="pix2pix.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs("rendered", num_products=arguments.products)
    train = data.triplets(pairs["train"], batch_size=16, irrelevant=False, mirror=True)
    test = data.triplets(pairs["test"], 64, shuffle=False, irrelevant=False, drop_remainder=False)

    # The paper has batches of 4 and a rate of 2e-4: too slow for a minute.
    model = Pix2Pix(image_size=64, width=arguments.width, seed=0)
    scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), metrics=scores)
    model.fit(train, validation_data=test, epochs=arguments.epochs, shuffle=False)

    shown = {name: images[::8] for name, images in test[0].items()}  # of several products
    columns = [shown["source"], model.predict(shown["source"]), shown["target"]]
    data.write_image(arguments.out, data.image_grid([data.to_uint8(x) for x in columns]))


if __name__ == "__main__":  # the processes that draw import this file
    main()
