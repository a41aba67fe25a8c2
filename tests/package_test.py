"""What `make package` built: the wheel holds the packages with their data, and nothing else."""

import pathlib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("keras_pixdt", "tfds_lookbook", "export")
LEFT_OUT = {"__pycache__", "dummy_data", "node_modules"}  # dummy_data is for tests of the builder


def test_the_wheel_holds_the_packages_and_their_data():
    wheels = list((ROOT / "build" / "package").glob("*.whl"))
    if not wheels:
        pytest.skip("there is no wheel: `make package` builds it")
    (wheel,) = wheels
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not path.name.startswith(".") and not LEFT_OUT & {*path.parts}
    }
    assert held == files
    assert {"keras_pixdt/py.typed", "keras_pixdt/study/page.html"} <= held
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
