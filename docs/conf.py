"""Sphinx's settings: `make docs` builds these pages and the reference, offline and strictly.

The reference is read from the sources; nothing of the package is imported.
"""

import re
from typing import Any

project = "keras_pixdt"
extensions = ["myst_parser", "autoapi.extension", "sphinx.ext.napoleon"]
# RESULTS.md lies at the root; results.myst includes it.
source_suffix = {".rst": "restructuredtext", ".md": "markdown", ".myst": "markdown"}
# Links such as data.md#sets-larger-than-the-memory go to headings, as on GitHub.
myst_heading_anchors = 3
html_theme = "furo"
html_copy_source = False

# The reference leaves out modules that only commands use, and `drawn`, the sets of drawn images.
autoapi_dirs = ["../keras_pixdt", "../export", "../tfds_lookbook"]
_COMMANDS = "commands convert demo drawn registered report reproduce serve study".split()
autoapi_ignore = [f"*/keras_pixdt/{name}{end}" for name in _COMMANDS for end in (".py", "/*")]
autoapi_ignore += ["*/_[!_]*.py", "*/node_modules/*"]
autoapi_root = "api"
autoapi_add_toctree_entry = False  # index.rst lists the modules
autoapi_options = ["members", "show-module-summary"]
# Names of packages that import their modules when they are first used are found in the modules.
suppress_warnings = ["autoapi.python_import_resolution"]

# The markup of docstrings is Markdown: `code`, and blocks between ```.
default_role = "literal"
napoleon_use_ivar = True
_FENCE = re.compile(r"( *)```(\w*)")


def _from_markdown(app: Any, what: str, name: str, obj: Any, options: Any, lines: Any) -> None:
    inside, found = False, []
    for line in lines:
        if fence := _FENCE.fullmatch(line.rstrip()):
            found += ["", ""] if inside else ["", f"{fence[1]}.. code-block:: {fence[2]}", ""]
            inside = not inside
        elif inside:
            found.append(f"    {line}")
        else:
            if line.lstrip().startswith("- ") and found and found[-1].endswith(":"):
                found.append("")  # a list begins
            # |x| is a norm, no substitution.
            parts = line.split("`")
            parts[::2] = [text.replace("|", r"\|") for text in parts[::2]]
            found.append("`".join(parts))
    lines[:] = found


def _link_to_results(app: Any, page: str, content: list[str]) -> None:
    content[0] = content[0].replace("](../RESULTS.md)", "](results.myst)")


def setup(app: Any) -> None:
    """Connects what rewrites docstrings, before Google's sections are read, and links."""
    app.connect("autodoc-process-docstring", _from_markdown, priority=100)
    app.connect("source-read", _link_to_results)
