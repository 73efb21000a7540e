"""How the page looks, and whether everybody can use it. Screenshots are in tests/browser/out."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT
from tests.browser.looks import SEVEN, answer, ask, card, draw, png

OUT = ROOT / "tests" / "browser" / "out"
SIZES = {"desktop": {"width": 1360, "height": 900}, "phone": {"width": 390, "height": 844}}


def use(page: Page, folder) -> None:
    """Everything has been asked once."""
    digits = card(page, "digits")
    digits.get_by_role("button", name="Clear").click()
    draw(digits, SEVEN)
    expect(answer(digits)).to_contain_text("digit: 7")
    magika = card(page, "magika")
    magika.locator("input[type=file]").set_input_files(png(folder / "picture.png"))
    expect(answer(magika)).to_contain_text("png")
    for name in ("halves", "iris", "minilm"):
        ask(card(page, name))


def faults(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']]}"
        for fault in found
        if fault["impact"] in ("serious", "critical", "moderate")
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_shuts_nobody_out(open_page, tmp_path, size, scheme):
    page = open_page(color_scheme=scheme, viewport=SIZES[size], reduced_motion="reduce").page
    use(page, tmp_path)

    assert faults(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == SIZES[size]["width"]  # nothing to scroll sideways for
    OUT.mkdir(exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=OUT / f"page-{size}-{scheme}-top.png")
    page.screenshot(path=OUT / f"page-{size}-{scheme}.png", full_page=True)
    for name in ("digits", "magika", "minilm"):
        card(page, name).screenshot(path=OUT / f"{name}-{size}-{scheme}.png")


def test_each_other_tab_and_the_numbers_shut_nobody_out(open_page):
    page = open_page().page
    for tab in ("JSON", "Python"):
        for one in page.get_by_role("tab", name=tab, exact=True).all():
            one.click()
    for details in page.locator("details > summary").all():
        details.click()

    assert faults(page) == []


def test_colours_may_change_while_it_is_open(open_page):
    page = open_page(color_scheme="light").page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.emulate_media(color_scheme="dark")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
