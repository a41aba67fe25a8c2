"""The browser in which pages are tested: where it is, and what is skipped without it."""

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
