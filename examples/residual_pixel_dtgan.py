"""The residual PixelDTGAN (Ge & Li) as a Keras user would write it: compile, fit, predict.

    python examples/residual_pixel_dtgan.py

Draws 60 products and the persons who wear them, trains a narrow network of 90 layers for two
epochs, and writes `residual_pixel_dtgan.png`: photo | drawn by the network | the product, of
products that training did not see. Under a minute on two cores; expect no more than a rough shape.
"""

import argparse

import keras

from keras_pixdt import ResidualPixelDTGAN, data, metrics


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="The residual PixelDTGAN on rendered products.")
    parser.add_argument("--products", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--width", type=float, default=0.0625, help="1 is the paper's network")
    parser.add_argument("--out", default="residual_pixel_dtgan.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs("rendered", num_products=arguments.products)
    train = data.triplets(pairs["train"], batch_size=16, irrelevant=False, mirror=True)
    test = data.triplets(pairs["test"], 64, shuffle=False, irrelevant=False, drop_remainder=False)

    # The paper has no L1 term: a pure GAN needs many hours until garments appear.
    model = ResidualPixelDTGAN(width=arguments.width, l1_weight=100.0)
    scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), metrics=scores)
    model.fit(train, validation_data=test, epochs=arguments.epochs, shuffle=False)

    shown = {name: images[::8] for name, images in test[0].items()}  # of several products
    columns = [shown["source"], model.predict(shown["source"]), shown["target"]]
    data.write_image(arguments.out, data.image_grid([data.to_uint8(x) for x in columns]))


if __name__ == "__main__":  # the processes that draw import this file
    main()
