"""A real browser without a window, and what a person does with the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import HANG

__all__ = ["REQUIRED", "Page", "browser"]

REQUIRED = "SQLINFER_BROWSER"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# As root, in a container, and without looking for anything outside of this machine.
_SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--window-size=1200,1000"),
)


@contextmanager
def browser(profile: Path) -> Iterator[Any]:
    """Chromium, driven by its own driver. Where there is none the test is skipped, or fails if it is required."""
    driver, program = shutil.which("chromedriver"), next(filter(None, map(shutil.which, _BROWSERS)), None)
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        driver = None
    if driver is None or program is None:
        problem = "no browser: it wants the programs chromium and chromedriver, and the package selenium"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {problem}")
        pytest.skip(problem)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        opened.set_script_timeout(HANG)
        yield opened
    finally:
        opened.quit()


class Page:
    """The page of a server, as it is open in the browser."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self, reference: str = "") -> None:
        self.browser.get("about:blank")  # otherwise nothing but the fragment changes
        self.browser.get(f"{self.url}/#{reference}")

    def all(self, css: str) -> list[Any]:
        return self.browser.find_elements("css selector", css)

    def one(self, css: str) -> Any:
        """Waits until it is there, and seen."""
        return self.until(lambda: next((found for found in self.all(css) if found.is_displayed()), None), css)

    def until(self, holds: Callable[[], Any], what: str = "") -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.browser, HANG, 0.02, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: holds(), what)

    def fill(self, feature: str, value: str | None) -> None:
        control = self.control(feature)
        if control.tag_name == "select":
            from selenium.webdriver.support.ui import Select

            Select(control).select_by_visible_text("NULL" if value is None else value)
            return
        for is_null in self.all(f"#{control.get_attribute('id')}-null"):
            if is_null.is_selected() is not (value is None):
                is_null.click()
        if value is not None or control.is_enabled():
            control.clear()
            control.send_keys(value or "")

    def control(self, feature: str) -> Any:
        self.one("#predict")
        return next(one for one in self.all("#row [id^=f]") if one.accessible_name.startswith(feature))

    def predict(self) -> str:
        """Presses the button: the answer that is shown."""
        before = self.all("#result, #answer .error")
        self.one("#predict").click()
        self.until(lambda: [one for one in self.all("#result, #answer .error") if one not in before], "an answer")
        return self.one("#result, #answer .error").text

    def probabilities(self) -> dict[str, float]:
        """With all their digits, which each cell tells as its title."""
        rows = self.all(".probabilities tbody tr")
        cells = [(row.find_element("css selector", "th"), row.find_elements("css selector", "td")[-1]) for row in rows]
        return {label.text: float(chance.get_attribute("title")) for label, chance in cells}

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]
