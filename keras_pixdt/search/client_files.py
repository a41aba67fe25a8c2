"""The files of the search client, a page for the browser, and of the runtime that it loads.

The page is in the folder `client` beside this module. Its runtime, LiteRT for the web, is 28 MB of
WebAssembly, which npm installs: the versions and checksums are in `client/package-lock.json`.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from absl import logging

CLIENT = pathlib.Path(__file__).with_name("client")

_MODULES = ("app", "colors", "flow", "image", "index", "metadata", "model", "offline", "sw")
_PAGE = ("index.html", "style.css", "icon.svg", *(f"{name}.js" for name in _MODULES))
# Browsers do not resolve package names. An import map would, but it is an inline script.
_PACKAGE_NAME, _PACKAGE_URL = b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"'
# The page takes the first that the browser can run: with threads, without, without relaxed SIMD.
_RUNTIMES = ("threaded_internal", "internal", "compat_internal")


def client_files(client: pathlib.Path = CLIENT) -> dict[str, pathlib.Path | bytes]:
    """Lists the page and its runtime, which is installed first if it is missing.

    Args:
        client: the folder of the page.

    Returns:
        Path of a URL -> the file or its content.

    Raises:
        FileNotFoundError: there is no page, a file is missing, or npm is missing or fails.
        ValueError: the runtime is of another version.
    """
    if not (client / _PAGE[0]).is_file():
        raise FileNotFoundError(
            f"There is no page at {client}. Pass a copy of the folder {CLIENT}, or leave `client` "
            "out."
        )
    packages = _packages(client)
    core = packages / "@litertjs" / "core"
    module = core / "dist" / "index.js"
    files = {f"/{name}": client / name for name in _PAGE}
    files["/"] = files.pop("/index.html")
    files["/litert/core.js"] = module
    files["/litert/wasm-utils.js"] = packages / "@litertjs" / "wasm-utils" / "dist" / "index.js"
    for runtime in _RUNTIMES:
        for suffix in ("js", "wasm"):
            name = f"litert_wasm_{runtime}.{suffix}"
            files[f"/litert/wasm/{name}"] = core / "wasm" / name
    again = f"Delete the folder {packages}, and start `pixdt serve` again, which installs it."
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(f"The page needs {file}, which is missing. {again}")
    content = module.read_bytes()
    if _PACKAGE_NAME not in content:
        raise ValueError(
            f"{module} must import {_PACKAGE_NAME.decode()}, as in the version that "
            f"{client / 'package-lock.json'} names. {again}"
        )
    return {**files, "/litert/core.js": content.replace(_PACKAGE_NAME, _PACKAGE_URL)}


def _packages(client: pathlib.Path) -> pathlib.Path:
    """The npm packages of the page: beside it, or else in the user's cache."""
    beside = client / "node_modules"
    if beside.is_dir():
        return beside
    names = client / "package-lock.json"
    if not names.is_file():
        raise FileNotFoundError(
            f"The page needs npm packages: {client} must have them in node_modules, or their names "
            "in package-lock.json. It has neither."
        )
    lock = hashlib.sha256(names.read_bytes()).hexdigest()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    packages = cache / "keras_pixdt" / f"search_client_{lock[:16]}" / "node_modules"
    if not packages.is_dir():
        _install(client, packages)
    return packages


def _install(client: pathlib.Path, packages: pathlib.Path) -> None:
    """Installs the packages in `package-lock.json`, completely or not at all."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"The page needs the npm packages of {client / 'package-lock.json'}, and there is no "
            "npm to install them. Install Node.js, which brings npm (https://nodejs.org), and "
            "start `pixdt serve` again; or run `npm ci` in a copy of that folder on another "
            f"machine, and copy its node_modules to {packages}"
        )
    logging.info("Installing the packages of the page into %s: 40 MB, once", packages)
    packages.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages.parent) as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(client / name, folder)
        # The packages that are for tests only are left out, and no package may run a script.
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        installed = pathlib.Path(folder, "node_modules")
        if done.returncode or not installed.is_dir():
            raise FileNotFoundError(
                f"The page needs the npm packages of {client / 'package-lock.json'}, and "
                f"`npm ci` could not install them:\n{done.stderr.strip()}"
            )
        try:
            installed.rename(packages)
        except OSError:  # another process was faster
            if not packages.is_dir():
                raise
