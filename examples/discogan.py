"""DiscoGAN (Kim et al. 2017) as a Keras user would write it: two domains, and no pairs.

    python examples/discogan.py

Draws 200 products and the persons who wear them, and shuffles them apart: training is not told
who wears what. Trains narrow networks for a few epochs, and writes `discogan.png`: photo | its
translation into a product | the translation back into a photo, of photos that training did not
see. Under a minute on two cores, which is far too short: expect the domain's look, grey and rough.
"""

import argparse

import keras

from keras_pixdt import DiscoGAN, data

IMAGE_SIZE = 32  # px; with the 64 of the paper it takes two minutes


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="DiscoGAN on rendered products and persons.")
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.125, help="1 is the paper's network")
    parser.add_argument("--out", default="discogan.png")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs("rendered", IMAGE_SIZE, num_products=arguments.products)
    # Any two folders of images would do: data.load_domains("photos", "paintings", image_size=32).
    train = data.unpaired(pairs["train"].domains(), batch_size=16, mirror=True)

    # The paper has batches of 200 and a rate of 2e-4, which is too slow for a minute. It does not
    # weigh the terms either, but a weight of 1 on reconstruction is too weak in so short a time.
    model = DiscoGAN(IMAGE_SIZE, width=arguments.width, reconstruction_weight=10.0)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    model.fit(train, epochs=arguments.epochs, shuffle=False)

    photos = data.to_float(pairs["test"].sources[::8][:8])  # of several products
    columns = [photos, model(photos, training=False), model.reconstruct(photos)]
    data.write_image(arguments.out, data.image_grid([data.to_uint8(c) for c in columns]))


if __name__ == "__main__":  # the processes that draw import this file
    main()
