"""Makes `golden.npz` and the small weights files: what the authors' LPIPS and DISTS compute.

It needs PyTorch, which the project does not:

    python3.11 -m venv .venv-torch
    .venv-torch/bin/pip install torch==2.13.0 torchvision==0.28.0 lpips==0.1.4 DISTS_pytorch==0.1
    .venv-torch/bin/python tests/golden/perceptual/make_golden.py

`tests/metrics/perceptual_test.py` compares the file with `keras_pixdt.metrics.perceptual`. Nothing
is downloaded: the weights are random. Those of a whole VGG16 have 58 MB, so both sides draw them
from `RandomState`, whose numbers NumPy promises never to change.
"""

import types
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
FILTERS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
# Like VGG16 but with few filters, for files that are small enough to store.
SMALL_FILTERS = ((2,) * 2, (3,) * 2, (2,) * 3, (3,) * 3, (2,) * 3)
SIZES = ((64, 64), (96, 64), (45, 63), (256, 256))


def random_vgg16(filters=FILTERS, seed=0):
    """For each block its convolutions: kernels (3, 3, in, out) and biases."""
    rng, before, blocks = np.random.RandomState(seed), 3, []
    for block in filters:
        blocks.append([])
        for count in block:
            kernel = rng.randn(3, 3, before, count) * np.sqrt(2 / (9 * before))
            blocks[-1].append((kernel.astype("float32"), rng.randn(count).astype("float32") / 10))
            before = count
    return blocks


def random_linear(filters=FILTERS, seed=1):
    """The weights of LPIPS for the channels of each block."""
    rng = np.random.RandomState(seed)
    return [np.abs(rng.randn(block[-1])).astype("float32") / 10 for block in filters]


def random_alpha_beta(filters=FILTERS, seed=2):
    """The weights of DISTS, of the image and all blocks."""
    count = 3 + sum(block[-1] for block in filters)
    return np.random.RandomState(seed).rand(2, count).astype("float32")


def random_images(height, width, seed=3):
    """Two pairs of uint8 images: noise over coarse tiles, and the same with changes."""
    rng = np.random.RandomState(seed)
    tiles = rng.randint(0, 256, (2, height // 8 + 1, width // 8 + 1, 3))
    a = tiles.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    a = a + rng.randint(-20, 21, a.shape)
    b = a + rng.randint(-60, 61, a.shape)
    b[1] = np.roll(a[1], 5, axis=1)  # the second pair: moved
    return a.clip(0, 255).astype("uint8"), b.clip(0, 255).astype("uint8")


def state_dict(blocks):
    """The arrays under torchvision's names."""
    import torch

    found, layer = {}, 0
    for block in blocks:
        for kernel, bias in block:
            found[f"{layer}.weight"] = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
            found[f"{layer}.bias"] = torch.tensor(bias)
            layer += 2
        layer += 1
    return found


def references():
    """The authors' networks with random weights."""
    import DISTS_pytorch.DISTS_pt
    import lpips
    import torch
    import torchvision

    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    features.load_state_dict(state_dict(random_vgg16()))
    # Both take the network from here, and would download its weights.
    torchvision.models.vgg16 = lambda pretrained: types.SimpleNamespace(features=features)
    similarity = lpips.LPIPS(net="vgg", pretrained=False, verbose=False)
    for layer, weights in zip(similarity.lins, random_linear(), strict=True):
        layer.model[1].weight.data = torch.tensor(weights)[None, :, None, None]
    distance = DISTS_pytorch.DISTS_pt.DISTS(load_weights=False)
    alpha, beta = (torch.tensor(w)[None, :, None, None] for w in random_alpha_beta())
    distance.alpha.data, distance.beta.data = alpha, beta
    return similarity, distance


def main():
    import torch

    similarity, distance = references()
    golden = {}
    with torch.no_grad():
        for height, width in SIZES:
            a, b = (
                torch.tensor(images.transpose(0, 3, 1, 2).copy()) / 255.0
                for images in random_images(height, width)
            )
            size = f"{height}x{width}"
            golden[f"lpips_{size}"] = similarity(a, b, normalize=True).numpy().reshape(-1)
            golden[f"dists_{size}"] = distance(a, b).numpy()
    np.savez(FOLDER / "golden.npz", **golden)
    print(golden)

    small = {f"features.{key}": x for key, x in state_dict(random_vgg16(SMALL_FILTERS)).items()}
    small["classifier.0.weight"] = torch.ones(2, 5)  # is not needed, and not read
    linear = {
        f"lin{block}.model.1.weight": torch.tensor(weights)[None, :, None, None]
        for block, weights in enumerate(random_linear(SMALL_FILTERS))
    }
    pair = zip(("alpha", "beta"), random_alpha_beta(SMALL_FILTERS), strict=True)
    dists = {name: torch.tensor(weights)[None, :, None, None] for name, weights in pair}
    for name, content in (("vgg16", small), ("linear", linear), ("dists", dists)):
        torch.save(content, FOLDER / f"{name}.pth", _use_new_zipfile_serialization=False)
        torch.save(content, FOLDER / f"{name}_zip.pth")


if __name__ == "__main__":
    main()
