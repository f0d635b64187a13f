"""The page in a real browser: it draws, sorts, hides, fits a phone, and asks nothing of a network.

Debian's `chromium` and `chromium-driver` serve; without them these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.records.store import Store
from ofa_bench.report import page

from .conftest import HOSTILE, every, sources

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
WAIT = 30.0
webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
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
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(driver: Any, store: Store, tmp_path: Path) -> Any:
    return shown(driver, store, tmp_path)


def shown(driver: Any, store: Store, folder: Path, width: int = 1200, scheme: str = "light") -> Any:
    """The store's page, every chart drawn."""
    path = folder / "r.html"
    path.write_text(page(every(store), sources()))
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for kind in ("browser", "performance"):
        driver.get_log(kind)  # of the page before
    driver.get(path.as_uri())
    until(lambda: not driver.execute_script(UNDRAWN))
    return driver


LINE = "path[fill=none][stroke^='var(--c']"
INTO_VIEW = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
UNDRAWN = (
    "return [...document.querySelectorAll('.chart')].filter(c => !c.querySelector('svg')).length"
)


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def complaints(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]


def asked_for(driver: Any) -> list[str]:
    told = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = (each for each in told if each["method"] == "Network.requestWillBeSent")
    return [each["params"]["request"]["url"] for each in sent]


def test_no_complaint_and_no_request_leaves_the_page(opened: Any) -> None:
    assert complaints(opened) == []
    asked = asked_for(opened)
    assert asked, "the page itself is one"
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def test_a_click_on_a_legend_hides_a_row_and_the_next_shows_it_again(opened: Any) -> None:
    def colours() -> list[str]:
        lines = opened.find_elements("css selector", f"[id$=-fronts] {LINE}")
        return [line.get_attribute("stroke") for line in lines]

    entry = opened.find_elements("css selector", "[id$=-fronts] + .legend button")[1]
    before = colours()
    assert len(set(before)) == 3
    opened.execute_script(INTO_VIEW, entry)
    entry.click()
    assert colours() == [before[0], before[2]]
    assert entry.get_attribute("aria-pressed") == "false"
    entry.click()
    assert colours() == before
    assert complaints(opened) == []


@pytest.mark.parametrize(
    ("chart", "shape", "words"),
    [
        ("price", "g path[transform]", ("alpha", "training MACs: ", "mean Pareto accuracy, %: ")),
        ("fronts", LINE, ("top-1 on test, %: ", " to ")),
        ("spending", "rect", ("training MACs: ",)),
    ],
)
def test_a_pointer_reads_a_value_out(
    opened: Any, chart: str, shape: str, words: tuple[str, ...]
) -> None:
    box = opened.find_element("css selector", f"[id$=-{chart}]")
    mark = box.find_element("css selector", shape)
    tip = box.find_element("css selector", ".tip")
    opened.execute_script(INTO_VIEW, mark)
    assert not tip.is_displayed()
    webdriver.ActionChains(opened).move_to_element(mark).perform()
    until(tip.is_displayed)
    assert all(word in tip.text for word in words), tip.text
    right = "return arguments[0].getBoundingClientRect().right"
    assert opened.execute_script(right, tip) <= opened.execute_script(right, box)


def test_a_click_on_a_head_sorts(opened: Any) -> None:
    head = opened.find_element("xpath", "//th[button='top-1 test, %']")
    column = (
        "const t = arguments[0].closest('table'), i = arguments[0].cellIndex;"
        "return [...t.tBodies[0].rows].map(r => Number(r.cells[i].firstChild.textContent))"
    )
    before = opened.execute_script(column, head)
    opened.execute_script(INTO_VIEW, head)
    button = head.find_element("tag name", "button")
    button.click()
    assert opened.execute_script(column, head) == sorted(before) != before
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert opened.execute_script(column, head) == sorted(before, reverse=True)


def test_a_filter_leaves_what_was_asked_for(opened: Any) -> None:
    field = opened.find_element("css selector", ".filter input")
    field.send_keys("beta k3")
    names = (
        "const box = arguments[0].closest('.filter').nextElementSibling;"
        "return [...box.querySelectorAll('tbody tr')].filter(r => !r.hidden)"
        ".map(r => r.cells[0].textContent)"
    )
    assert set(opened.execute_script(names, field)) == {"beta"}


def test_numbers_stand_under_the_right_end_of_their_heads(opened: Any) -> None:
    aligned = (
        "const of = cell => getComputedStyle(cell).textAlign;"
        "return [...document.querySelectorAll('table')].flatMap(table =>"
        "[...table.rows].slice(1).flatMap(row => [...row.cells].map(cell =>"
        "[of(table.rows[0].cells[cell.cellIndex]), of(cell)])))"
    )
    pairs = opened.execute_script(aligned)
    assert {tuple(pair) for pair in pairs} == {("left", "left"), ("right", "right")}


@pytest.mark.parametrize("stored", ["store", "hostile"])
def test_a_phone_in_the_dark(
    driver: Any, stored: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shown(driver, request.getfixturevalue(stored), tmp_path, width=360, scheme="dark")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
    assert complaints(driver) == []
    dark = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    ink = (
        "return getComputedStyle(document.querySelector('.chart .xtick')).fill + ' ' +"
        "getComputedStyle(document.body).color"
    )
    charted, written = driver.execute_script(ink).split(" rgb")
    assert charted.endswith(written)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(lambda: charted not in driver.execute_script(ink))
    charted, written = driver.execute_script(ink).split(" rgb")
    assert charted.endswith(written)


def test_text_from_strangers_stays_text(driver: Any, hostile: Store, tmp_path: Path) -> None:
    shown(driver, hostile, tmp_path)
    assert driver.find_elements("css selector", "img, svg a") == []
    names = driver.execute_script(
        "return [...document.querySelectorAll('.legend button')].map(t => t.textContent).join('')"
    )
    assert "<script>alert(1)" in names
    assert complaints(driver) == []
    heads = [head.text for head in driver.find_elements("tag name", "h2")]
    assert any(HOSTILE[:9] in head for head in heads)
