"""The browser in which pages are tested: where it is, and what is skipped without it."""

import base64
import contextlib
import shutil

import pytest

from keras_pixdt import serve

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser is driven by playwright: pip install playwright"
)
CHROMIUM = shutil.which("chromium")
AXE = serve.CLIENT / "node_modules" / "axe-core" / "axe.min.js"
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium"),
]
NEEDS_PACKAGES = pytest.mark.skipif(
    not AXE.exists(), reason="no packages: npm ci --prefix keras_pixdt/search/client"
)
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@contextlib.contextmanager
def launched():
    with sync_api.sync_playwright() as driver:
        # Chromium has no sandbox for root, as whom CI runs.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def base64_of(content):
    return base64.b64encode(content).decode()


def in_page(page, body, *arguments):
    """Runs a function body in the page, with bytes for bytes."""
    given = [
        {"bytes": base64_of(argument)} if isinstance(argument, bytes) else argument
        for argument in arguments
    ]
    script = """async (given) => {
        const args = given.map((value) => value?.bytes === undefined ? value
            : Uint8Array.from(atob(value.bytes), (letter) => letter.charCodeAt(0)));
        return await (async (...args) => {%s})(...args);
    }"""
    return page.evaluate(script % body, given)
