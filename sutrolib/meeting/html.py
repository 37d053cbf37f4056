"""Slides as one HTML page that loads nothing: text escaped by Jinja, pictures as data: URLs, style and script inside.

The page's Content-Security-Policy forbids every load, and every style and script but its own two, which it names by
their SHA-256 (https://www.w3.org/TR/CSP3/#grammardef-hash-source): markup that found a way in would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from sutrolib.core.cube import COLOURS, Axis
from sutrolib.meeting.layout import LONG, LONGER, SHORT, Slide

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
MARKS = {"process": "▲", "metric": "■", "problem": "●"}  # so that colour is not what tells the axes apart
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest"}

_LINK = re.compile(r"\[([^\[\]]+)\]\(([^()\s]+)\)")


def render(slides: Sequence[Slide], title: str) -> str:
    """The page. Raises ValueError for no slides, and for a page that would load something."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    if not slides:
        raise ValueError("a deck of no slides, accepted are one and more: choose a slide")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((TEMPLATES / f"deck.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    anchors = {slide.notebook: slide.key for slide in slides if slide.notebook}
    page = environment.get_template("deck.html").render(
        slides=slides,
        title=title,
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        emblem=Markup(_emblem()),
        colours=MARKS | {slide.axis: "" for slide in slides if slide.axis not in MARKS},
        inline=lambda text: inline(text, anchors),
        numbers={slide.key: number for number, slide in enumerate(slides, start=1)},
        length=_length,
        tone=_tone,
    )
    if found := loads(page):
        raise ValueError(f"the deck would load {', '.join(found)}, accepted is a page that loads nothing")
    return page


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page with this style and this script."""

    def named(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {named(style)}; script-src {named(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def inline(text: str, anchors: dict[str, str]) -> Markup:
    """Escaped text in which **bold**, `code` and [links](...) are markup.

    A link to another notebook leads to its slide where there is one; one that leads elsewhere than to http or https
    is its words.
    """
    from markupsafe import Markup, escape

    safe = str(escape(text))  # first of all: what follows adds tags to escaped text only

    def link(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        stem = target.removesuffix(".ipynb")
        if stem in anchors:
            return f'<a href="#{anchors[stem]}">{words}</a>'
        outside = re.fullmatch(r"https?://(?:[\w./?=%#:~+-]|&amp;)+", target)
        return f'<a href="{target}" rel="noreferrer">{words}</a>' if outside else words

    safe = _LINK.sub(link, safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))


def _length(slide: Slide) -> str:
    letters = len(slide.heading)
    return "longer" if letters > LONGER else "long" if letters > LONG else ""


def _tone(cell: str) -> str:
    return {"✓": "good", "✗": "bad"}.get(cell[:1], "short" if len(cell) <= SHORT else "")


def _emblem() -> str:
    """The cube as a drawing; the words beside it say the same, so it is hidden from screen readers."""
    edges = {
        Axis.PROCESS: "M40 190H190",
        Axis.METRIC: "M40 190V40",
        Axis.PROBLEM: "M40 190L105 150",
    }
    rest = "M190 190V40H40M105 150V0H255V150H105M190 190L255 150M190 40L255 0M40 40L105 0"
    lines = "".join(
        f'<path d="{path}" stroke="{COLOURS[axis]}" stroke-width="7" stroke-linecap="round"/>'
        for axis, path in edges.items()
    )
    dots = '<g fill="#ffffff"><circle cx="40" cy="190" r="8"/><circle cx="255" cy="0" r="8"/></g>'
    frame = f'<path d="{rest}" stroke="#8fa3c4" stroke-width="1.5"/>'
    way = "M40 190V150L72 130H120V85L160 60H190L255 0"
    path = f'<path d="{way}" stroke="#ffffff" stroke-width="2" stroke-dasharray="3 6"/>'
    box = 'viewBox="20 -20 260 235" fill="none" aria-hidden="true" focusable="false"'
    return f'<svg class="emblem" {box}>{frame}{path}{lines}{dots}</svg>'


class _Loads(HTMLParser):
    """Collects whatever a page would load: attributes that load, and url(...) and @import in styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attrs:
            loading = name in LOADING or (name in ("href", "xlink:href") and tag not in ("a", "area"))
            if loading and value and not value.startswith(("data:", "#")):
                self.found.append(f"{tag} {name}={value[:60]}")
            if name == "style" or (name == "http-equiv" and (value or "").lower() == "refresh"):
                self.found.append(f"{tag} {name}={(value or '')[:60]}")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.found += re.findall(r"@import[^;]*|url\((?!['\"]?(?:data:|#))[^)]*\)", data)


def loads(page: str) -> list[str]:
    """What a page would load when it is looked at, besides data: URLs; a link that a reader may follow is no load."""
    parser = _Loads()
    parser.feed(page)
    parser.close()
    return parser.found
