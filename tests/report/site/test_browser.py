"""The site in a real browser, from file://: on a phone, in the dark, by the keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_browser import BROWSER, DRIVER, UNDRAWN, complaints, until, webdriver

from .conftest import Made

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="there is no chromium with its chromedriver here"
)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=DRIVER)
    )
    yield driver
    driver.quit()


def show(driver: Any, page: Path, width: int = 1200, scheme: str = "light") -> None:
    """A page of the site with its charts drawn."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    until(lambda: not driver.execute_script(UNDRAWN))


def sample(site: Made) -> list[Path]:
    """The first page, and the first and last of each kind."""
    by_folder: dict[Path, list[Path]] = {}
    for path in site.pages:
        by_folder.setdefault(path.parent, []).append(path)
    ends = {path for pages in by_folder.values() for path in (pages[0], pages[-1])}
    return sorted({*ends, *by_folder[site.folder]})


def board(site: Made) -> Path:
    """The board with most rows."""
    return max((site.folder / "tracks").iterdir(), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sampled_pages_fit_a_phone_without_a_complaint(
    driver: Any, committed: Made, scheme: str
) -> None:
    driver.get_log("performance")
    colours = set()
    for page in sample(committed):
        show(driver, page, 360, scheme)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360, page
        assert complaints(driver) == [], page
        colours.add(driver.execute_script("return getComputedStyle(document.body).color"))
    assert len(colours) == 1
    (red, *_) = colours.pop().removeprefix("rgb(").split(",")
    assert (int(red) > 128) == (scheme == "dark")
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [e["params"]["request"]["url"] for e in events if e["method"].endswith("BeSent")]
    assert sent and all(url.startswith(("file:", "data:")) for url in sent)


def press(driver: Any, *keys: str) -> None:
    webdriver.ActionChains(driver).send_keys(*keys).perform()


def focused(driver: Any, what: str) -> Any:
    return driver.execute_script(f"return document.activeElement.{what}")


def test_the_keyboard_is_enough(driver: Any, committed: Made) -> None:
    """Skip link, filter, sorting by a head, and a row's link, by tab and enter alone."""
    show(driver, board(committed))
    press(driver, "\ue004")
    assert focused(driver, "className") == "skip"
    left = driver.execute_script("return document.activeElement.getBoundingClientRect().left")
    assert left >= 0, "the skip link shows when it is focused"
    press(driver, "\ue007")
    assert driver.execute_script("return location.hash") == "#main"
    until(lambda: press(driver, "\ue004") or focused(driver, "type") == "search")
    shown = (
        "return [...document.querySelector('table.sortable').tBodies[0].rows]"
        ".filter(row => !row.hidden).map(row => Number(row.cells[4].firstChild.textContent))"
    )
    whole = driver.execute_script(shown)
    press(driver, "deps")
    assert 0 < len(driver.execute_script(shown)) < len(whole)
    assert "of" in driver.execute_script("return document.querySelector('.filter output').value")
    press(driver, *["\ue003"] * 4)
    until(lambda: press(driver, "\ue004") or "mean Pareto" in focused(driver, "textContent")[:20])
    assert focused(driver, "tagName") == "BUTTON"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert driver.execute_script(outline) == "solid"
    press(driver, "\ue007")
    assert driver.execute_script(shown) == sorted(whole) != whole
    sort = "return document.activeElement.closest('th').ariaSort"
    assert driver.execute_script(sort) == "ascending"
    press(driver, "\ue00d")
    assert driver.execute_script(shown) == sorted(whole, reverse=True)
    assert driver.execute_script(sort) == "descending"
    until(lambda: press(driver, "\ue004") or "/methods/" in (focused(driver, "href") or ""))
    press(driver, "\ue007")
    until(lambda: "/methods/" in driver.current_url)
    assert complaints(driver) == []


def test_a_board_leads_to_its_records_and_back(driver: Any, committed: Made) -> None:
    page = board(committed)
    show(driver, page)
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    link = driver.find_element("css selector", "td a[href^='../records/']")
    name = link.text
    driver.execute_script("arguments[0].click()", link)
    until(lambda: "/records/" in driver.current_url and not driver.execute_script(UNDRAWN))
    assert name in driver.find_element("tag name", "main").text
    driver.find_element("css selector", ".lead a").click()
    until(lambda: driver.current_url.split("#")[0] == page.as_uri())
    assert complaints(driver) == []
