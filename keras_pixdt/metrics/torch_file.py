"""Reads arrays from files that PyTorch saved, without PyTorch and without running what they hold.

A file of `torch.save` is a pickle, which can call any function, beside the bytes of its arrays.
`_Unpickler` knows only the names that a file of float32 weights needs. Newer files are zip
archives. Older ones (before PyTorch 1.6), such as those of torchvision's VGG16, are four pickles,
a list of keys, and the arrays in this order.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import io
import os
import pathlib
import pickle
import zipfile
from typing import IO, Any

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_FLOAT32 = np.dtype("<f4")


@dataclasses.dataclass
class _Tensor:
    """A tensor whose storage has not been read: the file may hold far more than is wanted."""

    key: str = ""
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """What files of early 2017, such as torchvision's VGG16, say after an empty tensor."""
        if len(state) == 4:
            self.key, self.offset, self.shape, self.strides = state
        elif len(state) == 5:  # of a parameter, its tensor and what only training needs
            self.__dict__.update(state[0].__dict__)


class _Parameter:
    """A parameter is read as the tensor that it is made of."""

    def __new__(cls, tensor: _Tensor | None = None, *_: Any) -> _Tensor:  # type: ignore[misc]
        return _Tensor() if tensor is None else tensor


def _tensor(*arguments: Any) -> _Tensor:
    return _Tensor(*arguments[:4])


def read(path: str | os.PathLike[str], prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a file that `torch.save` wrote of a dict of float32 tensors.

    Args:
        path: the file.
        prefix: reads only the arrays whose names begin with it.

    Returns:
        float32 arrays by name, in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds anything but float32 tensors.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:
        try:
            return _zipped(file, prefix) if zipfile.is_zipfile(file) else _plain(file, prefix)
        except Exception as error:  # a damaged pickle raises nearly anything
            raise ValueError(
                f"{path} must be a file that PyTorch saved, a dict of float32 tensors. It is "
                f"damaged, or holds something else ({error or type(error).__name__}). Put the "
                "original there again."
            ) from error


def _zipped(file: IO[bytes], prefix: str) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = name.removesuffix("data.pkl")
        with contextlib.suppress(KeyError):  # older archives do not say, and are little
            if archive.read(f"{folder}byteorder") != b"little":
                raise ValueError("big-endian")
        tensors = _tensors(_Unpickler(io.BytesIO(archive.read(name))).load(), prefix)
        storages = {
            tensor.key: np.frombuffer(archive.read(f"{folder}data/{tensor.key}"), _FLOAT32)
            for tensor in tensors.values()
        }
    return {name: _array(tensor, storages[tensor.key]) for name, tensor in tensors.items()}


def _plain(file: IO[bytes], prefix: str) -> dict[str, np.ndarray]:
    file.seek(0)
    magic, _, system, content, keys = (_Unpickler(file).load() for _ in range(5))
    if magic != _MAGIC or not system["little_endian"]:
        raise ValueError("not a little-endian file of PyTorch")
    tensors = _tensors(content, prefix)
    wanted, storages = {tensor.key for tensor in tensors.values()}, {}
    for key in keys:
        (count,) = np.frombuffer(file.read(8), "<i8")
        if key in wanted:
            storages[key] = np.frombuffer(file.read(count * _FLOAT32.itemsize), _FLOAT32, count)
        else:
            file.seek(count * _FLOAT32.itemsize, os.SEEK_CUR)
    return {name: _array(tensor, storages[tensor.key]) for name, tensor in tensors.items()}


def _tensors(content: Any, prefix: str) -> dict[str, _Tensor]:
    wrong = [name for name, value in content.items() if not isinstance(value, _Tensor)]
    if wrong:
        raise ValueError(f"{wrong[0]} is no tensor")
    return {name: value for name, value in content.items() if name.startswith(prefix)}


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if min([tensor.offset, *tensor.shape, *tensor.strides]) < 0 or last >= len(storage):
        raise ValueError(f"a tensor of {tensor.shape} reaches beyond its {len(storage)} numbers")
    strides = [stride * _FLOAT32.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides)
    return view.astype(np.float32)


class _Unpickler(pickle.Unpickler):
    """Unpickles dicts of float32 tensors; anything else is refused."""

    _KNOWN = {
        "collections.OrderedDict": collections.OrderedDict,
        "torch.FloatStorage": "float32",
        "torch.FloatTensor": _Tensor,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _Parameter,
        "torch.nn.parameter.Parameter": _Parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not read")
        return self._KNOWN[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> str:
        _, _, key, _, _, *view = pid  # "storage", its type, its key, its device, its length
        if any(view):
            raise pickle.UnpicklingError("views of storages are not read")
        return key
