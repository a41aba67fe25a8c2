"""The files beside the golden values were written by PyTorch 2.13."""

import pickle
import zipfile

import numpy as np
import pytest

from keras_pixdt.metrics import torch_file
from tests.golden.perceptual import make_golden

FOLDER = make_golden.FOLDER
EXPECTED = make_golden.random_alpha_beta(make_golden.SMALL_FILTERS)[:, None, :, None, None]
FILES = ["dists.pth", "dists_zip.pth"]


@pytest.mark.parametrize("name", FILES)
def test_reads_what_pytorch_saved(name):
    found = torch_file.read(FOLDER / name)
    assert list(found) == ["alpha", "beta"]
    assert all(array.dtype == np.float32 for array in found.values())
    np.testing.assert_array_equal(np.stack(list(found.values())), EXPECTED)


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16_zip.pth"])
def test_reads_what_is_asked_for(name):
    every, features = (torch_file.read(FOLDER / name, prefix) for prefix in ("", "features."))
    assert set(every) - set(features) == {"classifier.0.weight"}
    assert every["classifier.0.weight"].shape == (2, 5)
    kernels = [array for array in features.values() if array.ndim == 4]
    blocks = make_golden.random_vgg16(make_golden.SMALL_FILTERS)
    expected = [kernel for block in blocks for kernel, _ in block]
    for kernel, other in zip(kernels, expected, strict=True):
        np.testing.assert_array_equal(kernel.transpose(2, 3, 1, 0), other)


@pytest.mark.parametrize("name", FILES)
def test_damage_is_named(name, tmp_path):
    """Bytes changed, and the file cut off before them: read all the same, or refused."""
    whole, path = (FOLDER / name).read_bytes(), tmp_path / "damaged.pth"
    refused = 0
    for position in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[position] ^= 0x81
        for content in (changed, whole[:position]):
            path.write_bytes(content)
            try:
                found = torch_file.read(path)
            except ValueError as error:
                assert str(error).startswith(f"{path} must be a file that PyTorch saved")
                refused += 1
            else:
                assert content is changed
                assert all(array.dtype == np.float32 for array in found.values())
    assert refused > 1.2 * len(whole) / 5


class _Writes:
    """Its pickle would write a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [False, True])
def test_runs_nothing_that_a_file_holds(zipped, tmp_path):
    path, written = tmp_path / "weights.pth", tmp_path / "written"
    content = pickle.dumps({"alpha": _Writes(str(written))}, protocol=2)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights/data.pkl", content)
    else:
        head = (FOLDER / "dists.pth").read_bytes().partition(b"alpha")[0]
        path.write_bytes(head[: head.rindex(b"\x80\x02")] + content)
    with pytest.raises(ValueError, match="holds something else .*io.open is not read"):
        torch_file.read(path)
    assert not written.exists()
    pickle.loads(content)["alpha"].close()
    assert written.exists()  # as anything else would have done
