"""LPIPS and DISTS equal the authors' code; the golden values are what that computed."""

import keras
import numpy as np
import pytest

from keras_pixdt.metrics import load_dists, load_lpips, perceptual
from keras_pixdt.metrics.perceptual import DISTS, LPIPS
from tests.golden.perceptual import make_golden

FOLDER = make_golden.FOLDER


def images(height, width):
    return tuple(x.astype("float32") / 127.5 - 1 for x in make_golden.random_images(height, width))


def distances(filters):
    vgg16 = make_golden.random_vgg16(filters)
    return {
        "lpips": LPIPS(vgg16, make_golden.random_linear(filters)),
        "dists": DISTS(vgg16, *make_golden.random_alpha_beta(filters)),
    }


@pytest.fixture(scope="module")
def whole():
    return distances(make_golden.FILTERS)


@pytest.fixture(scope="module")
def small():
    return distances(make_golden.SMALL_FILTERS)


@pytest.fixture
def small_vgg16(monkeypatch):
    """The files beside the golden values have few filters."""
    monkeypatch.setattr(perceptual, "_FILTERS", make_golden.SMALL_FILTERS)


@pytest.mark.parametrize("name", ["lpips", "dists"])
@pytest.mark.parametrize("size", make_golden.SIZES)
def test_equals_the_authors_code(whole, name, size):
    with np.load(FOLDER / "golden.npz") as file:
        expected = file["{}_{}x{}".format(name, *size)]
    found = whole[name](*images(*size))
    assert found.shape == (2,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_equal_images_have_no_distance(small, name):
    a, b = images(40, 32)
    white = np.ones_like(a)
    np.testing.assert_allclose(small[name](a, a), 0, atol=1e-6)
    np.testing.assert_allclose(small[name](white, white), 0, atol=1e-6)
    assert small[name](a, b).min() > 0.01


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_few_images_at_a_time_score_as_all_at_once(small, name, monkeypatch):
    a, b = (np.concatenate([x, x[:, ::-1], x[:1, :, ::-1]]) for x in images(32, 48))
    expected = small[name](a, b)
    assert len(set(expected)) == 5
    for pixels in (1, 2 * 32 * 48):  # one image at a time; two, two and one
        monkeypatch.setattr(perceptual, "_PIXELS", pixels)
        np.testing.assert_allclose(small[name](a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(small[name](a.astype("float16"), b), expected, atol=1e-3)


def test_l2_pooling_by_hand():
    x = np.arange(1.0, 10.0, dtype="float32").reshape(1, 3, 3, 1)
    # Around each corner: 4 times its square, 2 times those beside it, once the middle's.
    corners = [
        [4 * 1 + 2 * (4 + 16) + 25, 4 * 9 + 2 * (4 + 36) + 25],
        [4 * 49 + 2 * (16 + 64) + 25, 4 * 81 + 2 * (36 + 64) + 25],
    ]
    expected = np.sqrt(np.array(corners) / 16)[None, :, :, None]
    found = keras.ops.convert_to_numpy(perceptual._l2_pool(x))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Channels are apart; an even side is halved.
    both = np.concatenate([x[:, :2], 2 * x[:, :2]], axis=-1)
    found = keras.ops.convert_to_numpy(perceptual._l2_pool(both))
    assert found.shape == (1, 1, 2, 2)
    np.testing.assert_allclose(found[..., 1], 2 * found[..., 0], rtol=1e-6)


def test_lpips_by_hand():
    """One block that passes the image on: its features are the standardized colours."""
    pass_on = np.zeros((3, 3, 3, 3), "float32")
    pass_on[1, 1] = np.eye(3)
    lpips = LPIPS([[(pass_on, np.zeros(3))]], [[1.0, 2.0, 3.0]])
    white, black = np.ones((1, 16, 16, 3)), -np.ones((1, 16, 16, 3))
    features = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    squares = np.square(features) / np.square(features).sum()  # of the vector of length 1
    # What is black is below 0, which ReLU sets to 0, and stays 0 without a length.
    expected = squares @ [1, 2, 3]
    np.testing.assert_allclose(lpips(white, black), expected, rtol=1e-5)
    half = white.copy()
    half[:, :, :4] = -1
    np.testing.assert_allclose(lpips(white, half), expected / 4, rtol=1e-5)
    # Half the features everywhere have the same direction, so no distance.
    paler = white * (np.array([0.485, 0.456, 0.406]) * 0.5 + 0.5) * 2 - 1
    np.testing.assert_allclose(lpips(white, paler), 0, atol=1e-6)


def test_dists_by_hand():
    """Without VGG16, of the image alone."""
    dists = DISTS([], [1.0] * 3, [1.0] * 3)
    white, gray = np.ones((1, 16, 16, 3)), np.zeros((1, 16, 16, 3))
    # Texture: 2 * 1 * 0.5 / (1 + 0.25) = 0.8. Nothing varies in either, so the structure is equal.
    np.testing.assert_allclose(dists(white, gray), 1 - (0.8 + 1) / 2, atol=1e-5)
    stripes = white.copy()
    stripes[:, :, ::2] = -1
    # The means are equal, and the covariance is minus the variance.
    np.testing.assert_allclose(dists(stripes, -stripes), 1 - (1 - 1) / 2, atol=1e-4)
    # A weight of 3 for the texture: 3 parts of 0.8 and one of 1.
    np.testing.assert_allclose(DISTS([], [3.0] * 3, [1.0] * 3)(white, gray), 0.15, atol=1e-5)


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_images_that_cannot_be_compared_are_refused(small, name):
    with pytest.raises(ValueError, match=r"VGG16 needs images of at least 16x16 .*\(1, 15, 64, 3"):
        small[name](np.zeros((1, 15, 64, 3)), np.zeros((1, 15, 64, 3)))
    with pytest.raises(ValueError, match="one shape"):
        small[name](np.zeros((1, 32, 32, 3)), np.zeros((1, 32, 48, 3)))
    with pytest.raises(ValueError, match="RGB"):
        small[name](np.zeros((1, 32, 32, 1)), np.zeros((1, 32, 32, 1)))


@pytest.mark.parametrize("ending", [".pth", "_zip.pth"])
def test_weights_are_read_from_files(small, small_vgg16, ending):
    a, b = images(32, 32)
    vgg16 = FOLDER / f"vgg16{ending}"
    lpips = load_lpips(vgg16, FOLDER / f"linear{ending}")
    np.testing.assert_array_equal(lpips(a, b), small["lpips"](a, b))
    dists = load_dists(vgg16, FOLDER / f"dists{ending}")
    np.testing.assert_array_equal(dists(a, b), small["dists"](a, b))


def test_weights_are_found_where_pytorch_and_the_packages_keep_them(
    small, small_vgg16, tmp_path, monkeypatch
):
    def copy(name, *place):
        path = tmp_path.joinpath(*place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((FOLDER / name).read_bytes())

    for package in ("lpips", "DISTS_pytorch"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("import torch_that_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    missing = perceptual.load_present()
    assert str(tmp_path / "lpips/weights/v0.1/vgg.pth") in missing["lpips"]
    assert str(tmp_path / "DISTS_pytorch/weights.pt") in missing["dists"]
    copy("linear.pth", "lpips", "weights", "v0.1", "vgg.pth")
    copy("dists.pth", "DISTS_pytorch", "weights.pt")
    for place, variables in (
        ("torch", {"TORCH_HOME": str(tmp_path / "torch")}),
        ("cache/torch", {"XDG_CACHE_HOME": str(tmp_path / "cache")}),
        ("home/.cache/torch", {"HOME": str(tmp_path / "home")}),
    ):
        with monkeypatch.context() as patch:
            for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
                patch.delenv(variable, raising=False)
            for variable, value in variables.items():
                patch.setenv(variable, value)
            vgg16 = f"{place}/hub/checkpoints/vgg16-397923af.pth"
            for load in (load_lpips, load_dists):
                with pytest.raises(FileNotFoundError, match=f"need torchvision's .*{vgg16}, and"):
                    load()
            copy("vgg16.pth", vgg16)
            found = perceptual.load_present()
        a, b = images(32, 32)
        for name, distance in found.items():
            np.testing.assert_array_equal(distance(a, b), small[name](a, b))


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    missing = perceptual.load_present()
    assert "`pip install --no-deps lpips` is enough" in missing["lpips"]
    assert "`pip install --no-deps DISTS_pytorch` is enough" in missing["dists"]


def test_other_weights_are_refused(small_vgg16, monkeypatch, tmp_path):
    with pytest.raises(
        ValueError, match=r"linear.pth must hold an array features.0.weight .* none"
    ):
        load_lpips(FOLDER / "linear.pth", FOLDER / "linear.pth")
    filters = [*make_golden.SMALL_FILTERS[:-1], (2, 2, 4)]
    monkeypatch.setattr(perceptual, "_FILTERS", filters)
    with pytest.raises(ValueError, match=r"features.28.weight of shape \(4, 2, 3, 3\), .*\(2, 2, "):
        load_lpips(FOLDER / "vgg16.pth", FOLDER / "linear.pth")
    (tmp_path / "vgg16.pth").write_bytes(b"<html>not found</html>")
    monkeypatch.setattr(
        perceptual, "load_lpips", lambda: load_lpips(tmp_path / "vgg16.pth", FOLDER / "linear.pth")
    )
    assert "vgg16.pth must be a file that PyTorch saved" in perceptual.load_present()["lpips"]

    def unreadable():
        raise PermissionError(13, "Permission denied", "vgg16.pth")

    monkeypatch.setattr(perceptual, "load_lpips", unreadable)
    assert "Permission denied: 'vgg16.pth'" in perceptual.load_present()["lpips"]
