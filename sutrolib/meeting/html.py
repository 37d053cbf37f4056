"""Slides as one HTML page that loads nothing: text escaped by Jinja, pictures as data: URLs, style and script inside.

The page's Content-Security-Policy forbids every load, and every style and script except its own two, which it names by
their SHA-256 (https://www.w3.org/TR/CSP3/#grammardef-hash-source): injected markup would still not run.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sutrolib.core.format import plain
from sutrolib.meeting.layout import Slide

TEMPLATES = Path(__file__).parent / "templates"
_LOADING_ATTRIBUTES = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest"}
_LINK = re.compile(r"\[([^\[\]]+)\]\(([^()\s]+)\)")


def render_deck(slides: Sequence[Slide], title: str) -> str:
    """The page. Raises ValueError if there are no slides, or if the page would load something."""
    if not slides:
        raise ValueError("a deck needs at least one slide: choose a slide")
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    anchors = {slide.notebook: slide.key for slide in slides if slide.notebook}
    environment.filters |= {"inline": lambda text: inline(text, anchors), "sha256": _sha256}
    style, script = (Markup((TEMPLATES / f"deck.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    page = plain(environment.get_template("deck.html").render(slides=slides, title=title, style=style, script=script))
    if loads := external_loads(page):
        raise ValueError(f"the deck must load nothing (it would load {', '.join(loads)})")
    return page


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inline(text: str, anchors: dict[str, str]) -> Markup:
    """Escaped text in which **bold**, `code` and [links](...) become markup.

    A link to another notebook leads to its slide, if there is one. Any other link that is not http or https becomes
    plain text.
    """

    def link(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        stem = target.removesuffix(".ipynb")
        if stem in anchors:
            return f'<a href="#{anchors[stem]}">{words}</a>'
        outside = re.fullmatch(r"https?://(?:[\w./?=%#:~+-]|&amp;)+", target)
        return f'<a href="{target}" rel="noreferrer">{words}</a>' if outside else words

    safe = _LINK.sub(link, str(escape(text)))  # escaped first: tags are added to escaped text only
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))


def external_loads(page: str) -> list[str]:
    """Everything that a browser would load to show the page, except data: URLs. Links to follow do not count.

    Attributes that load, and url(...) and @import in styles.
    """
    found = []
    for tag in BeautifulSoup(page, "html.parser", on_duplicate_attribute="ignore").find_all(True):  # as browsers do
        for name, value in ((name, str(value)) for name, value in tag.attrs.items()):
            loads = name in _LOADING_ATTRIBUTES or (name in ("href", "xlink:href") and tag.name not in ("a", "area"))
            loads = loads and value != "" and not value.startswith(("data:", "#"))
            if loads or name == "style" or (name == "http-equiv" and value.lower() == "refresh"):
                found.append(f"{tag.name} {name}={value[:60]}")
        if tag.name == "style":
            found += re.findall(r"@import[^;]*|url\((?!['\"]?(?:data:|#))[^)]*\)", tag.text)
    return found
