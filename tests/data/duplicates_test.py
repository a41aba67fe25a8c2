import io

import numpy as np
from PIL import Image

from keras_pixdt.data import duplicates


def photo(seed: int) -> np.ndarray:
    """A smooth picture, unlike that of another seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((60, 90), Image.Resampling.BICUBIC))


def garment(color) -> np.ndarray:
    image = np.full((80, 80, 3), 255, np.uint8)
    image[20:70, 25:55] = color
    return image


def recompressed(image: np.ndarray, quality: int = 75) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def group(images, products, product_id):
    return duplicates.group_products(
        [duplicates.signature(image) for image in images],
        np.array(products),
        np.array(product_id, np.int64),
    ).tolist()


def test_products_that_share_an_image_are_one_group_named_by_its_smallest_id():
    a, b, c, d = (photo(seed) for seed in range(4))
    # 40 and 7 share b, 7 and 22 share c: one group; 30 is alone.
    assert group([a, b, b, c, c, d], [0, 0, 1, 1, 2, 3], [40, 7, 22, 30]) == [7, 7, 7, 30]


def test_a_recompressed_copy_is_a_duplicate():
    images = [photo(seed) for seed in range(20)]
    copies = [recompressed(image) for image in images]
    rows = list(range(40))
    assert group(images + copies, rows, rows) == [*range(20), *range(20)]


def test_one_shape_in_two_colors_is_no_duplicate():
    colors = [(200, 30, 30), (30, 30, 200), (60, 60, 60), (90, 90, 90), (230, 230, 230)]
    rows = list(range(len(colors)))
    assert group([garment(color) for color in colors], rows, rows) == rows


def test_one_color_in_two_shapes_is_no_duplicate():
    wide = garment((200, 30, 30))
    long = np.rot90(wide)
    assert group([wide, long], [0, 1], [0, 1]) == [0, 1]


def test_equal_images_within_a_product_join_nothing():
    assert group([photo(0), photo(0), photo(1)], [0, 0, 1], [3, 4]) == [3, 4]


def test_near_pairs_are_those_of_a_comparison_of_all_with_all():
    rng = np.random.default_rng(0)
    # Copies with up to five flipped bits and shifted levels, around a few centres.
    centre = rng.integers(0, 2**63, 12, dtype=np.uint64)[rng.integers(12, size=600)]
    flips = np.zeros(600, np.uint64)
    for _ in range(5):
        flips ^= rng.integers(0, 2, 600, dtype=np.uint64) << rng.integers(0, 64, 600, np.uint64)
    hashes = centre ^ flips
    cells = np.repeat(rng.integers(100, 108, (600, 1), np.uint8), 768, axis=1)
    expected = {
        (i, j)
        for i in range(600)
        for j in range(i + 1, 600)
        if bin(int(hashes[i]) ^ int(hashes[j])).count("1") <= 3
        and abs(int(cells[i, 0]) - int(cells[j, 0])) <= 3
    }
    found = set()
    for left, right in duplicates._near_pairs(hashes, cells):
        found |= {
            (min(pair), max(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)
        }
    assert len(expected) > 500
    assert found == expected


def test_signature_does_not_depend_on_the_file_that_holds_the_pixels():
    first, second = (duplicates.signature(photo(0), data) for data in (b"one", b"two"))
    assert first.sha256 != second.sha256
    assert first.hash == second.hash
    np.testing.assert_array_equal(first.cells, second.cells)


def test_products_of_one_item_are_one_group():
    signatures = [duplicates.signature(photo(seed)) for seed in range(4)]
    rows, ids = np.arange(4), np.array([8, 3, 5, 6])
    assert duplicates.group_products(signatures, rows, ids).tolist() == [8, 3, 5, 6]
    item = np.array([1, 2, 1, 4])
    assert duplicates.group_products(signatures, rows, ids, item).tolist() == [5, 3, 5, 6]
