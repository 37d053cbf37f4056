"""What an executed notebook says, read off its file for a slide: finding, expectations, figure, time, command.

Nothing is run and nothing is evaluated: outputs are JSON, text stays text, and a figure is taken only if it is a PNG.
"""

import base64
import binascii
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sutrolib.batch.parameters import Parameter
from sutrolib.batch.plan import read_notebook
from sutrolib.core import paths
from sutrolib.core.format import integer_or_number
from sutrolib.core.markdown import finding_in
from sutrolib.core.records import read_json

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
        notebook, payload = read_notebook(path), finding_in(path)
        content = read_json(path)
        outputs = [output for cell in content["cells"] for output in cell.get("outputs", [])]
        papermill = content.get("metadata", {}).get("papermill", {})
        when, dated = _when(path, payload, papermill)
        name = re.sub(r"^\d+-", "", path.stem)
        errors = (f"{o.get('ename')}: {o.get('evalue')}" for o in outputs if o.get("output_type") == "error")
        return Executed(
            path=path,
            name=name,
            title=name if notebook.title == path.stem else notebook.title.strip(),
            axis=str(notebook.axis),
            step=str(notebook.step),
            when=when,
            dated=dated,
            rows=tuple(_rows(payload)),
            picture=_picture(outputs, payload.get("figure")),
            command=_command(name, payload.get("parameters") or papermill.get("parameters") or {}, notebook.parameters),
            error=next(errors, ""),
            **{name: str(payload.get(name, "")) for name in ("finding", "sign", "then")},
        )
    except (ArithmeticError, LookupError, OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as an executed notebook: {type(error).__name__}: {error}") from error


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
    shown: list[tuple[object, Picture]] = []
    for output in outputs:
        about = output.get("metadata", {}).get("image/png", {})
        with suppress(binascii.Error):
            encoded = "".join(output.get("data", {}).get("image/png", "")).split()
            png = base64.b64decode("".join(encoded), validate=True)
            if png.startswith(PNG):
                shown.append((about.get("label"), Picture(png, str(about.get("alt") or NO_ALT))))
    return next((picture for name, picture in shown if label and name == label), shown[0][1] if shown else None)


def _command(name: str, given: Mapping[str, Any], declared: Mapping[str, Parameter]) -> str:
    """The command that runs the notebook again with the parameters that this copy had."""
    words = ["python", "-m", "sutrolib", "run", name.split("_")[0]]
    for parameter, value in given.items():
        if parameter not in declared or declared[parameter].default != value:
            words += ["-p", parameter, str(value)]
    return shlex.join(words)


def _when(path: Path, payload: Mapping[str, Any], papermill: Mapping[str, Any]) -> tuple[datetime, str]:
    """When the notebook ran, and how that is known."""
    if text := payload.get("when"):
        dated = "says the notebook"
    elif text := papermill.get("end_time"):
        dated = "says papermill"
    else:
        text = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
        dated = "when its file was changed; the notebook does not say when it ran"
    when = datetime.fromisoformat(str(text))
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC), dated
