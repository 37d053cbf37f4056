"""The deck in a real headless Chromium: keys, contrast of all text, no loads, no foreign script, one page a slide."""

import re
import shutil

import pytest
from builders import measurement
from meetings import WHEN, executed, payload
from test_deck import ARD, HOSTILE, WEEK, collection, hostile_slides  # noqa: F401 - a fixture

from sutrolib.batch.executed import read_executed
from sutrolib.measurement.ledger import Ledger
from sutrolib.meeting.build import build_slides, finding_slide
from sutrolib.meeting.collect import collect_meeting, parse_period
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.layout import Slide, Table
from sutrolib.meeting.own import own_slides
from sutrolib.meeting.pdf import to_pdf

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("deck browser"),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both installed"),
]

CONTRASTS = """
const light = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((v) => v / 255).map(
    (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return colour.endsWith(", 0)") && node.parentElement ? ground(node.parentElement) : colour;
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
  const pair = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.tagName, node.className, node.textContent.trim().slice(0, 30)]);
}
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--force-prefers-reduced-motion",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def slides(count=4):
    rows = (("cost", "modelled", "0.6 to 0.9", "0.5", "✗ no"), ("seeds", "measured", "-", "4", "✓ yes"))
    table = Table("Expectation against result", ("quantity", "kind", "expected", "saw", "held"), rows)
    made = [
        Slide(f"s{number}", "text", f"Slide {number}", axis=axis, sign="■ stop", tables=(table,), notes=("A note.",))
        for number, axis in zip(range(1, count), ("process", "metric", "problem") * count, strict=False)
    ]
    return [
        Slide("title", "title", "The deck", topic="Weekly", subtitle="x", points=("a",), footer="f", notes=("n",)),
        *made,
    ]


def opened(browser, folder, page, width=1280, height=720):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    (folder / "deck.html").write_text(page, encoding="utf-8")
    browser.get((folder / "deck.html").as_uri())


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def test_the_deck_is_worked_by_keyboard(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path, render_deck(slides(), "t"))

    def where():
        return browser.execute_script("return [document.getElementById('where').textContent, location.hash]")

    def focused():
        return browser.execute_script("return document.activeElement.id")

    assert where()[0] == "1 / 4"
    for key, expected in (
        (Keys.ARROW_RIGHT, "2 / 4"),
        (Keys.PAGE_DOWN, "3 / 4"),
        (Keys.ARROW_DOWN, "4 / 4"),
        (Keys.ARROW_RIGHT, "4 / 4"),
        (Keys.ARROW_LEFT, "3 / 4"),
        (Keys.HOME, "1 / 4"),
        (" ", "2 / 4"),
        (Keys.PAGE_UP, "1 / 4"),
        (Keys.END, "4 / 4"),
    ):
        press(browser, key)
        assert where()[0] == expected, key
    assert where()[1] == "#s3"
    assert focused() == "s3", "a screen reader is taken along"
    assert browser.execute_script("return Math.round(document.getElementById('s3').getBoundingClientRect().top)") == 0
    press(browser, "s")
    assert browser.execute_script("return [...document.querySelectorAll('.notes')].every((note) => note.open)")
    press(browser, "s")
    assert not browser.execute_script("return [...document.querySelectorAll('.notes')].some((note) => note.open)")
    press(browser, "?")
    assert browser.execute_script("return document.getElementById('help').open")
    press(browser, Keys.ARROW_LEFT)
    assert where()[0] == "4 / 4", "while the help is open the slides stay"
    press(browser, Keys.ESCAPE)
    assert not browser.execute_script("return document.getElementById('help').open")


def test_what_has_the_focus_shows_it(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path, render_deck(slides(), "t"))
    press(browser, Keys.TAB)
    seen = set()
    for _ in range(12):
        press(browser, Keys.TAB)
        tag, style, shadow = browser.execute_script(
            "const s = getComputedStyle(document.activeElement);"
            "return [document.activeElement.tagName, s.outlineStyle, s.boxShadow]"
        )
        if tag != "BODY":
            assert style != "none" or shadow != "none", tag
            seen.add(tag)
    assert {"SUMMARY", "DIV", "BUTTON"} <= seen


@pytest.mark.parametrize("width", [1280, 390])
def test_all_text_passes_wcag_aa(browser, tmp_path, width):
    opened(browser, tmp_path, render_deck(slides(), "t"), width)
    browser.execute_script("for (const note of document.querySelectorAll('.notes')) note.open = true; help.show()")
    found = browser.execute_script(CONTRASTS)
    assert len(found) > 60
    assert [text for text in found if text[0] < 4.5] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"


def test_nothing_is_loaded_and_no_script_but_the_decks_own_runs(browser, collection, tmp_path):  # noqa: F811
    page = render_deck(hostile_slides(collection), HOSTILE)
    opened(browser, tmp_path, page)
    assert browser.execute_script("return window.caught") is None
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert browser.get_log("browser") == []
    # Markup that had found a way in would be stopped by the page's policy.
    opened(browser, tmp_path, page.replace("</main>", f"{HOSTILE.split('>')[0]}>window.caught = 1</script></main>"))
    assert browser.execute_script("return window.caught") is None
    assert "Content Security Policy" in str(browser.get_log("browser"))


@pytest.mark.parametrize("words", [1, 6, 12, 24])
@pytest.mark.parametrize("letters", [10, 60, 90])
def test_a_finding_of_many_numbers_fits_its_slide(browser, collection, tmp_path, words, letters):  # noqa: F811
    names = [
        f"{number} {'cost of the candidate over that of the baseline, for all settings that pass ' * 2}"[:letters]
        for number in range(10)
    ]
    said = payload(
        finding=f"{'Another algorithm ' * words}is found. {'It solves most seeds ' * words}",
        results=dict.fromkeys(names, 0.123456),
        kinds=dict.fromkeys(names, "modelled"),
        expected={name: [0.001, 0.125, "x"] for name in names},
    )
    slide = finding_slide(read_executed(executed(collection, "10_first", said)))
    opened(browser, tmp_path, render_deck([*slides(2), slide], "t"))
    heights = browser.execute_script(
        "return [...document.querySelectorAll('.slide')].map((slide) => slide.offsetHeight)"
    )
    assert heights == [720] * 3
    assert browser.execute_script(CLIPPED) == []
    assert len(slide.points) >= 2


CLIPPED = """
return [...document.querySelectorAll('h1, h2, .words, li > div')].filter(
  (node) => node.scrollHeight > node.clientHeight + 2 && node.clientHeight > 0
).map((node) => [node.tagName, node.scrollHeight, node.clientHeight, node.textContent.trim().slice(0, 60)])
"""
SMALL = """
return [...document.querySelectorAll('.slide *, nav *')].filter((node) =>
  [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
  && parseFloat(getComputedStyle(node).fontSize) < arguments[0]
).map((node) => [node.tagName, getComputedStyle(node).fontSize, node.textContent.trim().slice(0, 60)])
"""
SHARES = """
return [...document.querySelectorAll('.finding img')].map((img) => {
  const box = img.getBoundingClientRect();
  const scale = Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight);
  return scale ** 2 * img.naturalWidth * img.naturalHeight / (innerWidth * innerHeight);
})
"""
HEIGHTS = """
return [...document.querySelectorAll('.slide')].map(
  (slide) => [slide.id, slide.offsetHeight, slide.scrollHeight - slide.clientHeight]
).filter((found) => found[1] > arguments[0] || found[2] > 0)
"""


@pytest.mark.parametrize("size", [(1280, 720), (1366, 768), (1920, 1080)])
def test_the_deck_of_the_committed_notebooks_is_read_from_the_back_of_the_room(browser, tmp_path, size):
    """18 pt (24 px) at 1280 x 720, figures on half of the slide, and nothing cut off."""
    own = own_slides("# Agenda\n" + "- a point of the agenda that takes a line of this slide\n" * 12)
    made = build_slides(collect_meeting(parse_period("52w")), own)
    opened(browser, tmp_path, render_deck(made, "t"), *size)
    assert browser.execute_script(HEIGHTS, size[1]) == []
    assert browser.execute_script(CLIPPED) == []
    assert browser.execute_script(SMALL, 24 * size[1] / 720 - 0.1) == []
    shares = browser.execute_script(SHARES)
    assert len(shares) >= 3
    assert min(shares) >= 0.5


@pytest.mark.parametrize("letters", [40, 200, 2000])
def test_no_slide_of_a_bad_week_is_higher_than_the_screen_or_the_page(browser, collection, tmp_path, letters):  # noqa: F811
    """Slides of what failed, signs and steps cut and spread what is long; on paper the rest would be lost."""
    text = ("The candidate ran over its budget before Seed 3 ended; " * 40)[:letters]
    for number in range(10, 19):
        executed(
            collection, f"{number}_a_notebook_with_a_rather_long_name", {}, error=text, papermill={"end_time": WHEN}
        )
    for number in range(20, 32):
        quantity = f"{number} {text}"
        said = payload(
            finding=text,
            then=f"{text} [x](11_next.ipynb)",
            results={quantity: 1e-9},
            kinds={quantity: "estimated"},
            expected={quantity: [0.00125, 0.00375, text]},
        )
        executed(collection, f"{number}_a_notebook_with_a_rather_long_name", said)
    for seed, words in enumerate((text, f"2 {text}", f"3 {text}", "4", "5", "6", "7")):
        lost = measurement(seed=seed, readings=(), score=None, failure=words, when=WHEN, model={"name": words})
        Ledger().add(lost)
    for seed, rungs in enumerate(
        (("search", "ard", "digits"), ("evolution", "ard", "parity"), ("by-hand", "ard", "shakespeare"))
    ):
        here = dict(zip(("process", "metric", "problem"), rungs, strict=True))
        Ledger().add(measurement(seed=10 + seed, readings=(ARD,), when=WHEN, rungs=here))
    made = build_slides(collect_meeting(WEEK))
    assert {"changed", "failed", "others", "decisions", "next", "glossary"} <= {slide.key for slide in made}
    assert len(made) <= 15
    opened(browser, tmp_path, render_deck(made, "t"))
    assert browser.execute_script(HEIGHTS, 720) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script(HEIGHTS, 720) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_pdf_has_a_page_for_each_slide_and_the_notes_at_the_end():
    content = to_pdf(render_deck(slides(5), "t"))
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", content)) == 5 + 1
    assert b"/MediaBox [0 0 960 540]" in content or b"/MediaBox [0 0 959.76" in content, "16 to 9, as a projector"
