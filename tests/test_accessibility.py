"""Figures are described in words, text can be read, and colour is never the only mark."""

import json
import re
from html.parser import HTMLParser

import pytest

from sutrolib.core.cube import COLOURS, Axis
from sutrolib.core.paths import NOTEBOOKS, ROOT
from sutrolib.meeting import html
from sutrolib.plots.style import BLACK, GREY, RED_TEXT, TEXT_COLOURS

PATHS = sorted(NOTEBOOKS.glob("[0-9]*_*.ipynb"))
FIGURES = sorted((ROOT / "figures").glob("*.svg"))
CSS = (html.TEMPLATES / "deck.css").read_text(encoding="utf-8")
LARGE_PX = 24  # from here on 3 to 1 is enough (WCAG 2.2, success criterion 1.4.3)


def luminance(colour):
    """Relative luminance of #rrggbb, as WCAG 2.2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other="#ffffff"):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_does():
    assert contrast("#000000") == pytest.approx(21)
    assert contrast("#ffffff") == pytest.approx(1)
    assert contrast("#777777") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails


class Pictures(HTMLParser):
    """The alt texts of images, and the labels of drawings, in HTML."""

    def __init__(self, text):
        super().__init__()
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.words.append(attrs.get("alt", ""))
        if tag == "svg" and attrs.get("aria-hidden") != "true":
            self.words.append(attrs.get("aria-label", "") if attrs.get("role") == "img" else "")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_picture_of_a_notebook_is_told_in_words(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    words = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        words += re.findall(r"!\[([^\]]*)\]", source) if cell["cell_type"] == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            pictures = [kind for kind in data if kind.startswith("image/")]
            words += [output["metadata"].get(kind, {}).get("alt", "") for kind in pictures]
            words += Pictures("".join(data.get("text/html", ""))).words
    for model in notebook["metadata"].get("widgets", {}).values():
        for widget in model["state"].values():
            words += Pictures(str(widget["state"].get("value", ""))).words
    assert words
    assert [text for text in words if len(text) < 20 or re.search(r"\.(png|svg)$", text)] == []


def test_the_colours_of_text_pass_wcag_aa_on_white():
    for colour in (BLACK, GREY, RED_TEXT, *TEXT_COLOURS.values()):
        assert contrast(colour) >= 4.5, colour


def test_the_text_shade_of_an_axis_is_a_darker_one_of_its_own_hue():
    import colorsys

    for axis in Axis:
        mark, text = ([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in (COLOURS[axis], TEXT_COLOURS[axis]))
        assert colorsys.rgb_to_hsv(*text)[0] == pytest.approx(colorsys.rgb_to_hsv(*mark)[0], abs=0.03)
        assert contrast(TEXT_COLOURS[axis]) > contrast(COLOURS[axis])


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_text_of_a_figure_can_be_read(path):
    """White text stands on a mark; all other stands on white, unless it lies in a box of its own."""
    faint = []
    for style, text in re.findall(r'<text [^>]*?style="([^"]*)"[^>]*>([^<]*)', path.read_text(encoding="utf-8")):
        fill = re.search(r"fill: (#[0-9a-fA-F]{6})", style)
        size = re.search(r"font: (?:[a-z]+ |\d+ )*([\d.]+)px", style) or re.search(r"font-size: ([\d.]+)px", style)
        needed = 3 if size and float(size[1]) >= LARGE_PX else 4.5
        if fill and fill[1].lower() != "#ffffff" and contrast(fill[1]) < needed:
            faint.append((text, fill[1]))
    assert faint == []


def test_the_cube_has_readable_text_and_lines_that_show_without_colour():
    from matplotlib import colors
    from matplotlib import pyplot as plt

    from sutrolib.core.cube import A
    from sutrolib.plots.style import draw_cube

    figure = draw_cube({A: 3}, A, "title", new={A: 3})
    ax = figure.axes[0]
    texts = [text for text in (*ax.texts, *ax.get_legend().get_texts(), ax.title) if text.get_text()]
    path = [line for line in ax.lines if line.get_linestyle() == ":"]
    plt.close(figure)
    assert len(texts) > 20
    assert [t.get_text() for t in texts if contrast(colors.to_hex(t.get_color())) < 4.5] == []
    assert len(path) == 12
    assert all(contrast(colors.to_hex(line.get_color())) >= 3 for line in path)


def rules():
    """Selector and declarations of each rule of the deck's style sheet, without those that only wrap others."""
    plain = re.sub(r"/\*.*?\*/", "", CSS, flags=re.S)
    return [
        (selector.strip(), dict(re.findall(r"([\w-]+)\s*:\s*([^;]+);", body)))
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", plain)
    ]


def resolved(value, names):
    while match := re.fullmatch(r"var\((--[\w-]+)\)", value.strip()):
        value = names[match[1]]
    return value.strip()


def test_every_colour_of_text_in_the_deck_passes_wcag_aa_on_every_ground_it_can_stand_on():
    names = next(declared for selector, declared in rules() if selector == ":root")
    grounds = {".title .topic, .title .subtitle": ["--night"], ".title footer": ["--night"]}
    checked = 0
    for selector, declared in rules():
        if "color" not in declared:
            continue
        tones = [names[f"--{axis}"] for axis in Axis] + [names["--accent"]]
        colours = tones if "--tone" in declared["color"] else [resolved(declared["color"], names)]
        on = [resolved(declared["background"], names)] if "background" in declared else None
        on = on or [names[name] for name in grounds.get(selector, ["--paper", "--wash"])]
        for colour in colours:
            for ground in on:
                assert contrast(colour, ground) >= 4.5, (selector, colour, ground)
                checked += 1
    assert checked >= 20


def test_the_deck_can_be_read_large_without_motion_and_on_paper():
    for needed in (
        "prefers-reduced-motion",
        "@media print",
        "@page",
        "break-after: page",
        ":focus-visible",
        "max-width",
    ):
        assert needed in CSS
    assert "clamp(100%" in CSS, "text is never smaller than the reader has set"
