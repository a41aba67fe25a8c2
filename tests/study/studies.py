"""Small studies of made-up images."""

import json

import numpy as np

from keras_pixdt.study import write_study

NAMES = ("C+RF", "C+MSE", "Pix2Pix")
SIZE = 8


def images(count, red, size=SIZE):
    """Images of one color each, whose green is 10 times their number."""
    drawn = np.empty((count, size, size, 3), np.uint8)
    drawn[..., 0], drawn[..., 2] = red, 50
    drawn[..., 1] = 10 * np.arange(count)[:, None, None]
    return drawn


def write(folder, protocol, photos=2, names=NAMES, **options):
    """Writes a study whose method number i draws images with a red of 30 times i."""
    results = {name: images(photos, 30 * i) for i, name in enumerate(names)}
    return write_study(protocol, images(photos, 250), results, folder / "study.html", **options)


def letters(made):
    """Method's name -> its letter."""
    with open(made["key"]) as file:
        return {name: letter for letter, name in json.load(file)["methods"].items()}


def answers(made, folder, rater, ratings, /, **changed):
    """Writes a rater's file.

    `ratings`: a list of photos, each name -> question -> value; or None, which was not rated.
    """
    letter = letters(made)
    photos = [
        {
            "photo": photo,
            "shown": sorted(letter.values()),
            "ratings": {letter[name]: given for name, given in (of_photo or {}).items()},
        }
        for photo, of_photo in enumerate(ratings)
    ]
    content = {"study": made["study"], "protocol": made["protocol"], "rater": rater}
    path = folder / f"answers-{rater}.json"
    path.write_text(json.dumps(content | {"photos": photos[::-1]} | changed))
    return path
