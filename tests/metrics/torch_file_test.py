"""The files beside the golden values were written by PyTorch 2.13."""

import collections
import copyreg
import io
import pickle
import sys
import types
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


class FloatStorage:
    """Stands for the classes of PyTorch when pickles are written, under its names."""


class FloatTensor(FloatStorage):
    pass


class Parameter(FloatStorage):
    def __new__(cls, *arguments):
        return super().__new__(cls)


def early_file(arrays, form):
    """A file as PyTorch wrote it in early 2017, with tensors and parameters in its forms then.

    Tensors were empty ones with a state, and so were parameters, or they were made of a tensor.
    PyTorch 2.13 reads these files too.
    """
    stored, keys = io.BytesIO(), []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, np.ndarray):
                return None
            keys.append(str(len(keys)))
            stored.write(np.int64(value.size).tobytes() + value.tobytes())
            return "storage", FloatStorage, keys[-1], "cpu", value.size, None

        def reducer_override(self, value):
            if type(value) is FloatTensor:
                array = value.array
                strides = tuple(step // array.itemsize for step in array.strides)
                return FloatTensor, (), (array, 0, array.shape, strides)
            if type(value) is Parameter:
                if form == "made of a tensor":
                    return copyreg.__newobj__, (Parameter, value.data), (True, False, None)
                return copyreg.__newobj__, (Parameter,), (value.data, None, None, True, False)
            return NotImplemented

    content = collections.OrderedDict()
    for name, array in arrays.items():
        content[name] = tensor = FloatTensor()
        tensor.array = array
        if form != "tensor":
            content[name] = Parameter()
            content[name].data = tensor
    head = (FOLDER / "dists.pth").read_bytes().partition(b"alpha")[0]
    file = io.BytesIO()
    file.write(head[: head.rindex(b"\x80\x02")])
    Pickler(file, protocol=2).dump(content)
    pickle.dump(keys, file, protocol=2)
    return file.getvalue() + stored.getvalue()


@pytest.mark.parametrize("form", ["tensor", "made of a tensor", "with a tensor in its state"])
def test_reads_the_forms_of_early_2017(form, tmp_path, monkeypatch):
    """Torchvision's VGG16 is of March 2017."""
    classes = {"torch": [FloatStorage, FloatTensor], "torch.nn.parameter": [Parameter]}
    for module, kinds in classes.items():
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace())
        for kind in kinds:
            monkeypatch.setattr(kind, "__module__", module)
            setattr(sys.modules[module], kind.__name__, kind)
    arrays = {"a": EXPECTED[0], "b": np.asarray(EXPECTED[1].T, order="C")[..., 0]}
    (tmp_path / "early.pth").write_bytes(early_file(arrays, form))
    found = torch_file.read(tmp_path / "early.pth")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


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
