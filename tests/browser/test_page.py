"""The page as a person uses it: with a mouse, with a file, with the keyboard alone."""

import asyncio
import base64
import re
import threading

import aiohttp
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.looks import SEVEN, answer, ask, card, draw, png
from tests.support.server import serving


def test_it_says_what_is_served(open_page, server):
    page = open_page().page

    expect(page.get_by_role("status").first).to_have_text("Ready: 12 models")
    digits = card(page, "digits")
    expect(digits.locator(".description")).to_have_text("Reads a handwritten digit of 8 x 8 pixels")
    expect(digits.locator("dd").first).to_have_text("image float32 [batch, 64]")
    said = server.get("/web/models").json()["models"]
    (words,) = [model["curve"]["says"] for model in said if model["name"] == "digits"]
    says = digits.locator(".says").inner_text()
    assert says.lower() == f"{words}.".lower()
    expect(digits.get_by_role("img", name="A row's cost by the rows of its batch")).to_be_visible()


def test_what_models_are_called_and_described_is_text_only(open_page):
    """Lesson 28: a model's folder may come from anywhere."""
    watched = open_page()

    expect(card(watched.page, "hostile").locator(".description")).to_have_text(HOSTILE)
    assert watched.page.locator("img[onerror]").count() == 0


# --- forms


def test_a_drawn_seven_is_a_seven(open_page):
    digits = card(open_page().page, "digits")

    digits.get_by_role("button", name="Clear").click()
    draw(digits, SEVEN)

    expect(answer(digits)).to_contain_text("digit: 7")
    expect(digits.locator(".bars li").first.locator(".label")).to_have_text("7")
    expect(digits.locator(".timing")).to_contain_text(re.compile(r"waited .+ ran .+ ms"))


@pytest.mark.parametrize(
    ("digit", "lines"),
    [
        ("1", [[(160, 60), (158, 260)]]),
        ("0", [[(160, 60), (110, 90), (95, 160), (115, 230), (160, 260), (205, 230),
                (225, 160), (210, 90), (160, 60)]]),
        ("4", [[(130, 60), (110, 170), (220, 170)], [(200, 110), (185, 260)]]),
    ],
)  # fmt: skip
def test_other_digits_are_read_too(open_page, digit, lines):
    digits = card(open_page().page, "digits")

    digits.get_by_role("button", name="Clear").click()
    for line in lines:
        draw(digits, line)

    expect(answer(digits)).to_contain_text(f"digit: {digit}")


def test_a_dropped_png_is_called_a_png(open_page, tmp_path):
    page = open_page().page
    magika = card(page, "magika")
    content = base64.b64encode(png(tmp_path / "p.png").read_bytes()).decode()

    dropped = page.evaluate_handle(
        """content => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File([bytes], "picture.png"));
            return held;
        }""",
        content,
    )
    magika.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})

    expect(answer(magika)).to_contain_text("label: png")
    expect(magika.locator(".drop .name")).to_contain_text("picture.png")


def test_a_chosen_file_is_sent_as_well(open_page, tmp_path):
    magika = card(open_page().page, "magika")

    magika.locator("input[type=file]").set_input_files(png(tmp_path / "chosen.png"))

    expect(answer(magika)).to_contain_text("label: png")


def test_a_sentence_gives_a_vector(open_page):
    minilm = card(open_page().page, "minilm")

    minilm.get_by_label("Text for text").fill("The bus leaves when leaving pays.")
    ask(minilm)

    expect(answer(minilm)).to_have_text("embedding: 384 numbers")
    expect(minilm.locator(".vector figcaption")).to_contain_text("as a vector 1 long")


def test_every_model_answers_its_own_example(open_page):
    page = open_page().page

    for name in ("digits", "flags", "halves", "hostile", "iris", "magika", "minilm", "unfit"):
        ask(card(page, name))
    ask(card(page, "versions", "1"))
    expect(card(page, "halves").locator(".output .mono")).to_have_text("1, 1, 1, 1")
    expect(card(page, "iris").locator(".single")).to_have_text("versicolor")


def test_a_form_that_does_not_fit_is_not_passed_over_in_silence(open_page):
    """Lesson 24."""
    unfit = card(open_page().page, "unfit")

    expect(unfit.locator(".trial > .quiet")).to_contain_text('form = "draw"')
    expect(unfit.get_by_label("The request")).to_be_visible()


# --- by keyboard alone


def test_a_seven_is_drawn_with_the_keyboard(open_page):
    page = open_page().page
    digits = card(page, "digits")
    digits.get_by_role("tab", name="Draw").focus()

    keys = page.keyboard
    keys.press("Tab")
    expect(digits.get_by_role("application")).to_be_focused()
    keys.press("Delete")
    for key, times in (("ArrowLeft", 4), ("ArrowUp", 6)):
        for _ in range(times):
            keys.press(key)
    keys.press(" ")
    for key in ["ArrowRight"] * 7 + ["ArrowDown", "ArrowDown", "ArrowLeft"] * 4 + ["ArrowDown"] * 2:
        keys.press(key)
    keys.press("Enter")

    expect(answer(digits)).to_contain_text("digit: 7")


def test_a_text_is_typed_and_sent_with_the_keyboard(open_page):
    page = open_page().page
    minilm = card(page, "minilm")
    minilm.get_by_role("tab", name="Text").focus()

    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Where is the bus?")
    page.keyboard.press("Enter")

    expect(answer(minilm)).to_have_text("embedding: 384 numbers")


def test_a_file_is_chosen_with_the_keyboard(open_page, tmp_path):
    page = open_page().page
    page.on("filechooser", lambda _: None)  # from now on, no dialogue of the system's own
    magika = card(page, "magika")
    magika.get_by_role("tab", name="File").focus()

    page.keyboard.press("Tab")
    expect(magika.locator("input[type=file]")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press(" ")
    chooser.value.set_files(png(tmp_path / "p.png"))

    expect(answer(magika)).to_contain_text("label: png")


def test_json_is_reached_and_sent_with_the_keyboard(open_page):
    page = open_page().page
    iris = card(page, "iris")
    iris.get_by_label("The request").focus()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(answer(iris)).to_contain_text("species: versicolor")
    digits = card(page, "digits")
    digits.get_by_role("tab", name="Draw").focus()
    page.keyboard.press("ArrowRight")
    expect(digits.get_by_role("tab", name="JSON")).to_be_focused()
    expect(digits.get_by_label("The request")).to_be_visible()


# --- what goes wrong is said


def test_a_mistake_in_the_json_is_said(open_page):
    iris = card(open_page().page, "iris")

    for typed, says in (
        ("{", "This is not JSON"),
        ("{}", "A request has “inputs”"),
    ):
        iris.get_by_label("The request").fill(typed)
        iris.get_by_role("button", name="Ask", exact=True).click()
        expect(answer(iris)).to_contain_text(says)


def test_what_the_server_refuses_is_said_in_its_words(open_page):
    watched = open_page(strict=False)
    slow = card(watched.page, "slow")

    slow.get_by_role("button", name="Ask", exact=True).click()

    expect(answer(slow)).to_contain_text("(429)")
    expect(answer(slow)).to_contain_text("Try again in")
    expect(slow.locator(".tile", has_text="Refused")).to_contain_text("it would have been late")
    assert len(watched.complaints) == 1  # the browser's own line about the 429


def test_a_model_that_is_let_go_and_comes_back(open_page, server):
    page = open_page().page

    assert server.post("/v2/repository/models/flags/unload").status_code == 200
    expect(card(page, "flags").locator(".pill")).to_have_text("not available")
    assert server.post("/v2/repository/models/flags/load").status_code == 200
    expect(card(page, "flags").locator(".pill")).to_have_text("ready")
    ask(card(page, "flags"))


def test_a_server_that_stops_does_so_at_once_and_the_page_says_so(open_page):
    """Lesson 20: who only looks is not waited for."""
    with serving("--drain", "60") as own:
        watched = open_page(url=own.url, strict=False)
        state = watched.page.get_by_role("status").first
        expect(state).to_have_text("Ready: 2 models")
        own.process.terminate()
        assert own.process.wait(timeout=15) == 0
        expect(state).to_have_text(re.compile("The server is stopping|does not answer"))
        digits = card(watched.page, "digits")
        digits.get_by_role("button", name="Ask", exact=True).click()
        expect(answer(digits)).to_have_text("The server does not answer. Is it still running?")


# --- numbers


async def _load(url: str, path: str, request: object, stop: threading.Event) -> None:
    async def caller(session: aiohttp.ClientSession) -> None:
        while not stop.is_set():
            async with session.post(url + path, json=request) as reply:
                assert reply.status == 200
                await reply.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(caller(session) for _ in range(16)))


def test_under_load_the_numbers_move_and_agree_with_the_metrics(open_page, server):
    page = open_page().page
    iris = card(page, "iris")
    rate = iris.locator(".tile", has_text="Answers a second")
    expect(rate.locator(".figure")).to_have_text("0")
    stop = threading.Event()
    request = server.get("/v2/models/iris/example").json()
    path = "/v2/models/iris/infer"
    loading = threading.Thread(
        target=lambda: asyncio.run(_load(server.url, path, request, stop)), daemon=True
    )
    loading.start()
    try:
        expect(rate.locator(".figure")).to_have_text(re.compile(r"^[\d,]{3,}$"))
        expect(rate.locator(".figure")).not_to_have_text("0")
        batches = iris.locator(".tile", has_text="Rows in a batch").locator(".columns li")
        expect(batches.nth(1)).to_be_visible()  # more than one size of them
        expect(iris.locator(".tile", has_text="p50").locator(".figure")).to_contain_text("s")
    finally:
        stop.set()
        loading.join()

    expect(rate.locator(".figure")).to_have_text("0")
    counted = re.search(
        r'^jitney_requests_total\{model="iris",outcome="success",version="1"\} ([\d.]+)$',
        server.get("/metrics").text,
        re.MULTILINE,
    )
    assert counted
    told = f"{int(float(counted[1])):,} requests since it was loaded"
    expect(rate.locator(".more")).to_have_text(told)


def test_who_does_not_look_asks_for_nothing(open_page):
    page = open_page().page
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.on("requestfinished", lambda request: ended.append(request.url))

    def hide(hidden: bool) -> None:
        page.evaluate(
            """hidden => {
                Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    hide(True)
    page.wait_for_function("() => true")
    with page.expect_request(lambda request: request.url.endswith("/web/live")):
        hide(False)
    assert any(url.endswith("/web/live") for url in ended)
