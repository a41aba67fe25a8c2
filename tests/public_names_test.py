"""Public names: in the stubs for type checkers, and imported when they are first used."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUBS = sorted(stub for part in ("keras_pixdt", "export") for stub in (ROOT / part).rglob("*.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_every_name_of_a_stub_can_be_imported(stub):
    package = importlib.import_module(".".join(stub.relative_to(ROOT).parts[:-1]))
    for node in ast.parse(stub.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name != "*":
            for alias in node.names:
                assert alias.asname == alias.name, "only `name as name` is public for type checkers"
                assert alias.name in package.__all__ and alias.name in dir(package)
                assert getattr(package, alias.name) is not None
                # Importing a module sets it as an attribute, over a name that it shares.
                is_module = (stub.parent / f"{alias.name}.py").exists()
                assert not is_module or node.module == package.__name__
    with pytest.raises(AttributeError, match=f"{package.__name__}' has no attribute 'nowhere'"):
        package.nowhere  # noqa: B018


@pytest.mark.slow
def test_a_type_checker_sees_functions_and_no_other_names(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "user.py"
    script.write_text(
        "import keras_pixdt\n"
        "reveal_type(keras_pixdt.data.load_pairs)\n"
        "keras_pixdt.data.load_pears('rendered')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path}",
         "--ignore-missing-imports", "--follow-imports=silent", script],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    first, second = done.stdout.splitlines()[:2]
    assert "def (data: " in first and "keras_pixdt.data.pairs.PairSet]" in first
    assert 'no attribute "load_pears"' in second
