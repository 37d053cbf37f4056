"""What an executed notebook says, read off its file for a slide: finding, expectations, figure, time, command.

Nothing is run and nothing is evaluated: outputs are JSON, text stays text, and a figure is taken only if it is a PNG.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sutrolib.batch.parameters import declared_in
from sutrolib.core import paths
from sutrolib.core.format import integer_or_number
from sutrolib.core.markdown import FINDING_TYPE

PNG = b"\x89PNG\r\n\x1a\n"
NO_ALT = "A figure that its notebook does not describe."


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that stand for it."""

    png: bytes
    alt: str

    @property
    def url(self) -> str:
        """The picture itself, as a data: URL."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Row:
    """One quantity of a conclusion; ``expected`` is empty where nothing was predicted, ``held`` None where unknown."""

    quantity: str
    kind: str
    expected: str
    because: str
    saw: str
    held: bool | None


@dataclass(frozen=True)
class Executed:
    """One executed notebook. ``dated`` says where ``when`` comes from; ``error`` is what stopped the run, if it did."""

    path: Path
    name: str
    title: str
    axis: str
    step: str
    when: datetime
    dated: str
    finding: str
    sign: str
    then: str
    rows: tuple[Row, ...]
    picture: Picture | None
    command: str
    error: str

    @property
    def key(self) -> str:
        """What tells this copy from others: the committed notebook's name, or the run's folder and file."""
        return self.name if self.path.parent == paths.NOTEBOOKS else f"{self.path.parent.name}/{self.path.name}"


def read_executed(path: Path) -> Executed:
    """Read an executed notebook. Raises ValueError, naming the file, for one that cannot be read."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        about = notebook.get("metadata", {})
        payload = _payload(outputs)
        when, dated = _when(path, payload, about)
        name = re.sub(r"^\d+-", "", path.stem)
        return Executed(
            path=path,
            name=name,
            title=_title(cells) or name,
            axis=str(about.get("sutro", {}).get("axis", "")),
            step=str(about.get("sutro", {}).get("step", "")),
            when=when,
            dated=dated,
            finding=str(payload.get("finding", "")),
            sign=str(payload.get("sign", "")),
            then=str(payload.get("then", "")),
            rows=tuple(_rows(payload)),
            picture=_picture(outputs, payload.get("figure")),
            command=_command(name, cells, payload, about),
            error=_error(outputs),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as an executed notebook: {type(error).__name__}: {error}") from error


def _payload(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    found = [output["data"][FINDING_TYPE] for output in outputs if FINDING_TYPE in output.get("data", {})]
    return dict(found[-1]) if found else {}


def _title(cells: list[dict[str, Any]]) -> str:
    first = "".join(cells[0]["source"]) if cells else ""
    match = re.match(r"# (.+)", first)
    return match[1].strip() if match else ""


def _rows(payload: Mapping[str, Any]) -> Iterator[Row]:
    """Quantities that were predicted come first: they decide."""
    expected, kinds, results = (dict(payload.get(name) or {}) for name in ("expected", "kinds", "results"))
    for quantity in sorted(results, key=lambda quantity: quantity not in expected):
        value = None if results[quantity] is None else float(results[quantity])
        low, high, because = expected.get(quantity) or (math.nan, math.nan, "")
        yield Row(
            quantity=str(quantity),
            kind=str(kinds.get(quantity, "")),
            expected=f"{float(low):g} to {float(high):g}" if quantity in expected else "",
            because=str(because),
            saw="not measured" if value is None else integer_or_number(value),
            held=float(low) <= value <= float(high) if quantity in expected and value is not None else None,
        )


def _picture(outputs: list[dict[str, Any]], label: object) -> Picture | None:
    """The figure of this label, which the notebook says shows its finding; the first one where it says nothing."""
    shown = list(_pictures(outputs))
    return next((picture for name, picture in shown if label and name == label), shown[0][1] if shown else None)


def _pictures(outputs: list[dict[str, Any]]) -> Iterator[tuple[object, Picture]]:
    """Every PNG with the label that it was shown under."""
    for output in outputs:
        encoded = output.get("data", {}).get("image/png")
        if encoded is None:
            continue
        try:
            png = base64.b64decode("".join("".join(encoded).split()), validate=True)
        except binascii.Error:
            continue
        if png.startswith(PNG):
            about = output.get("metadata", {}).get("image/png", {})
            yield about.get("label"), Picture(png, str(about.get("alt") or NO_ALT))


def _error(outputs: list[dict[str, Any]]) -> str:
    errors = [f"{o.get('ename')}: {o.get('evalue')}" for o in outputs if o.get("output_type") == "error"]
    return errors[0] if errors else ""


def _command(name: str, cells: list[dict[str, Any]], payload: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The command that runs the notebook again with the parameters that this copy had."""
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    declared = declared_in("".join(tagged[0]["source"])) if tagged else {}
    given = payload.get("parameters") or about.get("papermill", {}).get("parameters") or {}
    changed = {k: v for k, v in given.items() if k not in declared or declared[k].default != v}
    words = ["python", "-m", "sutrolib", "run", name.split("_")[0]]
    for parameter, value in changed.items():
        words += ["-p", str(parameter), str(value)]
    return shlex.join(words)


def _when(path: Path, payload: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[datetime, str]:
    """When the notebook ran, and how that is known."""
    said = (payload.get("when"), "says the notebook"), (about.get("papermill", {}).get("end_time"), "says papermill")
    for text, source in said:
        if text:
            return _in_utc(str(text)), source
    if text := _committed(path):
        return _in_utc(text), "when it was committed; the notebook does not say when it ran"
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return changed, "when its file was changed; the notebook does not say when it ran"


def _in_utc(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _committed(path: Path) -> str:
    """When git last saw this file change; empty where the file differs from that, or there is no git."""
    try:
        status, log = (
            subprocess.run(
                ["git", *command, "--", path.name],
                cwd=path.parent,
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for command in (["status", "--porcelain"], ["log", "-1", "--format=%cI"])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if status else log
