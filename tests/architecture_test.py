"""What docs/architecture.md says of imports and of lengths, read from the source with `ast`."""

import ast
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What each part may import of the others: parts below it. A part imports itself, except models.
# Every part may import the leaves.
LEAVES = {"choices", "progress", "workers"}
BOTTOM = {"layers", "losses", "engine"}
MODELS = {"models"} | BOTTOM
MIDDLE = MODELS | {"presets", "data", "drawn", "metrics", "judges", "search"}
TRAINING = MIDDLE | {"training", "atomic"}
TOP = TRAINING | {"reproduce", "export", "hub", "convert", "serve", "demo", "report", "study"}
ALLOWED = {
    "choices": set(),
    "progress": set(),
    "workers": set(),
    "layers": BOTTOM,
    "losses": BOTTOM,
    "engine": {"engine", "layers"},
    "models": MODELS,
    "presets": {"presets"} | MODELS,
    "drawn": {"drawn"},
    "data": {"data", "drawn", "atomic"},
    "metrics": {"metrics"} | MODELS,
    "atomic": {"atomic"},
    "judges": MODELS | {"judges", "data", "drawn", "metrics"},
    "search": {"search", "data", "judges", "atomic", "report"},
    "training": TRAINING,
    "reproduce": TRAINING | {"reproduce", "report"},
    "export": TRAINING | {"reproduce", "export"},
    "hub": TRAINING | {"export", "hub"},
    "study": TRAINING | {"study", "report"},
    "convert": TOP,
    "serve": {"serve", "data", "search"},
    "report": {"report", "atomic"},
    "demo": TOP | {"tfds_lookbook"},  # the commands one after the other
    "registered": set(),  # names what `.keras` files name
    "commands": TOP | {"commands"},
    "examples": TOP | {"tfds_lookbook"},
    "tfds_lookbook": {"tfds_lookbook", "data"},
}


class Import(NamedTuple):
    target: str  # dotted module, or module.name for `from module import name`
    line: int
    nested: bool  # inside a function, or under `if TYPE_CHECKING`


class _Imports(ast.NodeVisitor):
    """Collects the imports of a module."""

    def __init__(self, module, is_package):
        self.package = module.split(".") if is_package else module.split(".")[:-1]
        self.found = []
        self.depth = 0

    def add(self, target, node):
        self.found.append(Import(target, node.lineno, self.depth > 0))

    def visit_Import(self, node):
        for alias in node.names:
            self.add(alias.name, node)

    def visit_ImportFrom(self, node):
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        for alias in node.names:
            self.add(f"{module}.{alias.name}", node)

    def nested(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = nested

    def visit_If(self, node):
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.nested(node)
        else:
            self.generic_visit(node)


def imports_of(source, module, is_package=False):
    visitor = _Imports(module, is_package)
    visitor.visit(ast.parse(source))
    return visitor.found


def part_of(name):
    """The part of the tree that a dotted name belongs to, None for other packages."""
    first, *rest = name.split(".")
    if first in ("export", "tfds_lookbook", "examples"):
        return first
    if first != "keras_pixdt":
        return None
    place = ROOT.joinpath("keras_pixdt", *rest[:1])
    if not rest or rest[0] == "_lazy" or not (place.is_dir() or place.with_suffix(".py").exists()):
        return "keras_pixdt"  # the lazy helper and the public names
    return rest[0]


def modules():
    """Dotted name -> (path, imports) of every module that users get, tests left out."""
    found = {}
    for package in ("keras_pixdt", "export", "tfds_lookbook", "examples"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name.endswith("_test.py"):
                continue
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found[name] = path, imports_of(path.read_text("utf-8"), name, is_package)
            if (stub := path.with_suffix(".pyi")).exists():  # what `_lazy.attach` will import
                lazy = imports_of(stub.read_text("utf-8"), name, is_package)
                found[name][1].extend(imported._replace(nested=True) for imported in lazy)
    return found


MODULES = modules()


def where(name, imported):
    return f"{MODULES[name][0].relative_to(ROOT)}:{imported.line} imports {imported.target}"


def test_the_parser_sees_every_kind_of_import():
    source = """
import numpy, keras_pixdt.data.images as images
from keras_pixdt import data, presets
from . import sibling
from ..models.pixel_dtgan import PixelDTGAN
if TYPE_CHECKING:
    import tensorflow as tf
if BACKEND:
    import jax
def function():
    from keras_pixdt.training import run
"""
    found = {i.target: i.nested for i in imports_of(source, "keras_pixdt.metrics.pixel")}
    assert found == {
        "numpy": False,
        "keras_pixdt.data.images": False,
        "keras_pixdt.data": False,
        "keras_pixdt.presets": False,
        "keras_pixdt.metrics.sibling": False,
        "keras_pixdt.models.pixel_dtgan.PixelDTGAN": False,
        "tensorflow": True,
        "jax": False,
        "keras_pixdt.training.run": True,
    }
    lazy = [i for i in MODULES["keras_pixdt.search"][1] if "ProductEmbedder" in i.target]
    assert [i.nested for i in lazy] == [True]
    assert part_of("keras_pixdt.models.pixel_dtgan.PixelDTGAN") == "models"
    assert len(MODULES) > 20 and "keras_pixdt.models.pixel_dtgan" in MODULES


def test_imports_point_down():
    wrong = []
    for name, (_, imports) in MODULES.items():
        part = part_of(name)
        if part == "keras_pixdt":  # the public API
            continue
        assert part in ALLOWED, f"{name}: give {part!r} its place here and in docs/architecture.md"
        for imported in imports:
            target = part_of(imported.target)
            if target == "keras_pixdt":  # public names only from above
                if "_lazy" not in imported.target and part not in ("commands", "demo", "examples"):
                    wrong.append(where(name, imported))
            elif target not in {None} | LEAVES | ALLOWED[part]:
                wrong.append(where(name, imported))
    assert not wrong, "\n".join(wrong)


def test_models_import_no_other_paper():
    shared = ("common", "image_filters")
    allowed = {
        "keras_pixdt.models.appearance_flow": "keras_pixdt.models.appearance_flow_networks",
        "keras_pixdt.models.residual_pixel_dtgan": "keras_pixdt.models.pixel_dtgan",
        "keras_pixdt.models.domain_transfer": "keras_pixdt.models.domain_transfer_networks",
        "keras_pixdt.models.point_discogan": "keras_pixdt.models.discogan",
    }
    wrong = [
        where(name, imported)
        for name, (_, imports) in MODULES.items()
        for imported in imports
        if name.startswith("keras_pixdt.models.")
        and part_of(imported.target) == "models"
        and imported.target.split(".")[2] not in shared
        and not f"{imported.target}.".startswith(f"{allowed.get(name)}.")
    ]
    assert not wrong, "\n".join(wrong)


def test_tensorflow_is_imported_where_it_may_be():
    """At import only engine and layers do, on their backend; others inside functions.

    Models, losses, metrics and search are written in `keras.ops` and work on JAX.
    """
    wrong = []
    for name, (_, imports) in MODULES.items():
        for imported in imports:
            if imported.target.split(".")[0] not in ("tensorflow", "tensorflow_datasets"):
                continue
            engine = part_of(name) in ("engine", "layers")
            boundary = part_of(name) in ("data", "training", "demo", "export") and imported.nested
            if not (engine or boundary or part_of(name) in ("tfds_lookbook", "examples")):
                wrong.append(where(name, imported))
    assert not wrong, "\n".join(wrong)


def test_modules_of_keras_that_are_not_public_are_imported_by_the_engine_only():
    """Beside it stands the version of Keras that they are tested with."""
    importing = {
        name
        for name, (_, imports) in MODULES.items()
        for imported in imports
        if imported.target.startswith("keras.src.")
    }
    engine = "keras_pixdt.engine."
    assert importing == {f"{engine}{name}" for name in ("interface", "tensorflow_step", "jax_step")}
    assert all("Keras 3.15.1" in MODULES[name][0].read_text("utf-8") for name in importing)


def test_drawing_needs_pillow_and_numpy_only():
    """Worker processes that draw start in a tenth of a second."""
    wrong = [
        where(name, imported)
        for name, (_, imports) in MODULES.items()
        for imported in imports
        if name.startswith("keras_pixdt.drawn.")
        and imported.target.split(".")[0] not in {"keras_pixdt", "PIL", "numpy", "__future__"}
        and imported.target.split(".")[0] not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def test_apache_beam_is_loaded_only_when_it_is_used():
    importing = {
        name
        for name, (_, imports) in MODULES.items()
        for imported in imports
        if imported.target.startswith("apache_beam.") or imported.target == "apache_beam"
    }
    assert importing == {"keras_pixdt.data.distributed"}
    using = {
        name: imported.nested
        for name, (_, imports) in MODULES.items()
        for imported in imports
        if imported.target.startswith("keras_pixdt.data.distributed")
    }
    assert using == {"tfds_lookbook.lookbook.lookbook_dataset_builder": True}


LONGEST_FILE = 450
LONGEST_FUNCTION = 80


def lines_of_functions(source):
    """Name of each function and method, and its lines, from `def` to its end."""
    return [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_files_and_functions_can_be_read_at_once():
    long_files, long_functions = {}, {}
    for folder in ("keras_pixdt", "export", "tfds_lookbook", "examples", "benchmarks", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name.endswith("_test.py") or "node_modules" in path.parts:
                continue
            name, source = str(path.relative_to(ROOT)), path.read_text("utf-8")
            if (lines := len(source.splitlines())) > LONGEST_FILE:
                long_files[name] = lines
            long_functions |= {
                f"{name}: {function}": lines
                for function, lines in lines_of_functions(source)
                if lines > LONGEST_FUNCTION
            }
    assert not long_files and not long_functions


def test_lines_of_functions_are_counted_with_their_docstrings_and_in_classes():
    source = """
class Model:
    @property
    def long(self):
        '''First.

        Last.'''
        return [
            1,
        ]
async def long(): pass
"""
    assert sorted(lines_of_functions(source)) == [("long", 1), ("long", 7)]


HEAVY = {"keras", "tensorflow", "jax", "tensorflow_datasets"}


def loaded_by(statement):
    """Modules that a new process has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "keras_pixdt",
        "keras_pixdt.data.images",
        "keras_pixdt.drawn.rendered",
        "keras_pixdt.commands",
        "keras_pixdt.serve",
    ],
)
def test_light_modules_load_neither_keras_nor_a_backend(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & HEAVY


def test_help_loads_neither_numpy_nor_pillow():
    """They would take as long again as all the rest of `pixdt --help`."""
    loaded = loaded_by("from keras_pixdt import commands; commands._parser()")
    assert "keras_pixdt.commands.train" in loaded
    assert not loaded & {*HEAVY, "numpy", "PIL"}
