"""Writes small data sets in the layouts that are read. Image i is `picture(i)`."""

import pathlib

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (24, 32)) -> Image.Image:
    """A smooth picture, unlike that of another seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write(path: pathlib.Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, quality=100)


def viton_hd(root: pathlib.Path, train: int = 8, test: int = 2) -> pathlib.Path:
    """Person i is picture(2 i), the cloth that they wear picture(2 i + 1); the test follows."""
    for split, numbers in (("train", range(train)), ("test", range(train, train + test))):
        names = [f"{number:05d}_00.jpg" for number in numbers]
        for number, name in zip(numbers, names, strict=True):
            write(root / split / "image" / name, 2 * number)
            write(root / split / "cloth" / name, 2 * number + 1)
            mask = root / split / "cloth-mask" / name
            mask.parent.mkdir(exist_ok=True)
            Image.new("L", (24, 32), 255).save(mask)
        # In the test, somebody else's cloth.
        clothes = names if split == "train" else names[1:] + names[:1]
        lines = [f"{person} {cloth}" for person, cloth in zip(names, clothes, strict=True)]
        (root / f"{split}_pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def dress_code(root: pathlib.Path, train: int = 3, together: bool = False) -> pathlib.Path:
    """In each category `train` pairs and then one of the test; all number from 0."""
    lists: dict[pathlib.Path, list[str]] = {}
    seed = 0
    for index, category in enumerate(("upper_body", "lower_body", "dresses")):
        for number in range(train + 1):
            person, garment = f"{number:06d}_0.jpg", f"{number:06d}_1.jpg"
            write(root / category / "images" / person, seed)
            write(root / category / "images" / garment, seed + 1)
            seed += 2
            listed = "train_pairs.txt" if number < train else "test_pairs_paired.txt"
            place = root if together else root / category
            line = f"{person}\t{garment}" + (f"\t{index}" if together else "")
            lists.setdefault(place / listed, []).append(line)
    for path, lines in lists.items():
        path.write_text("\r\n".join(lines))
    (root / "dresses" / "test_pairs_unpaired.txt").write_text("000000_0.jpg 000001_1.jpg\n")
    return root


def in_shop(root: pathlib.Path, items: int = 4) -> pathlib.Path:
    """Items have two colours; the last item is of the test, and item 0 lacks a product image."""
    rows = []
    seed = 0
    for item in range(items):
        for colour in (1, 2):
            for view in ("1_front", "4_full", "7_additional", "6_flat"):
                if (item, view) == (0, "6_flat"):
                    continue
                name = f"img/WOMEN/Dresses/id_{item:08d}/{colour:02d}_{view}.jpg"
                write(root / name, seed)
                seed += 1
                status = "train" if item < items - 1 else ("query", "gallery")[view == "1_front"]
                rows.append(f"{name}    id_{item:08d} {status}")
    listed = root / "Eval" / "list_eval_partition.txt"
    listed.parent.mkdir()
    header = "image_name item_id evaluation_status"
    listed.write_text("\n".join([str(len(rows)), header, *rows]))
    return root


def consumer_to_shop(root: pathlib.Path, items: int = 6) -> pathlib.Path:
    """Items with two photos and two images of the shop; one is of validation, one of the test."""
    rows = []
    seed = 0
    for item in range(items):
        folder = f"img/CLOTHING/Blouse/id_{item:08d}"
        status = {items - 2: "val", items - 1: "test"}.get(item, "train")
        for name in ("comsumer_01", "comsumer_02", "shop_01", "shop_02"):
            write(root / folder / f"{name}.jpg", seed)
            seed += 1
        for photo in (1, 2):
            for shop in (1, 2):
                images = f"{folder}/comsumer_0{photo}.jpg {folder}/shop_0{shop}.jpg"
                rows.append(f"{images} id_{item:08d} {status}")
    listed = root / "Eval" / "list_eval_partition.txt"
    listed.parent.mkdir()
    header = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    listed.write_text("\n".join([str(len(rows)), header, *rows]))
    return root


def table(root: pathlib.Path, products: int = 6, photos: int = 2) -> pathlib.Path:
    """A CSV as Excel writes it: the photos of product p are picture(10 p + 1) and so on."""
    lines = ["source;target;product_id;category;split;price"]
    for product in range(products):
        write(root / "shop" / f"{product}.png", 10 * product)
        split = {products - 2: "val", products - 1: "test"}.get(product, "train")
        for photo in range(1, photos + 1):
            write(root / "street" / f"{product} {photo}.png", 10 * product + photo)
            files = f"street\\{product} {photo}.png;shop\\{product}.png"
            lines.append(f"{files};SKU-{product};hat;{split};9,99")
    path = root / "pairs.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    return path
