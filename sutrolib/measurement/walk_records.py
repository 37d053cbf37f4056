"""The records of the walk, ``data/walk/steps/NN-K.json``: one for each try of a step; and what they say comes next.

A step that turned back is not passed by: the step before is repeated first, with what the plan's rule says, and then
the step itself; both tries stay. A step that turns back again, or stops, ends the walk until a new plan is committed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.cube import A, Position, Step, path_to_b
from sutrolib.core.io import as_json, write_json
from sutrolib.core.records import checked, read_json
from sutrolib.core.stats import Interval
from sutrolib.measurement.comparison import BusyRatio, EstimatedRatio, MeanPower

_NAME = re.compile(r"(\d\d)-(\d+)\.json")


class Sign(StrEnum):
    """A step's sign of life."""

    GO = "go"
    TURN_BACK = "turn back"
    STOP = "stop"


@dataclass(frozen=True)
class StepRecord:
    """One try of a step: what was inherited, expected, found and decided.

    ``inherited``, ``start`` and ``champion`` are models as :func:`sutrolib.core.types.describe` gives them; ``start``
    is what the searches began with, and ``refused`` says why that is not the inherited champion. ``quantities`` are
    those of a plan, with their intervals where they have one; ``repeats`` is the step that turned back to this one.
    """

    number: int
    attempt: int
    order: int  # of all tries, from 1
    end: Mapping[str, str]
    axis: str
    kept: Mapping[str, str]  # the rungs of the axes that were held fixed
    plan: Mapping[str, Any]
    inherited: Mapping[str, Any]
    start: Mapping[str, Any]
    refused: str
    champion: Mapping[str, Any]
    program: str
    studies: list[Mapping[str, Any]]
    quantities: Mapping[str, Any]
    verdict: str
    sign: Sign
    why: str
    learned: str
    spent: Mapping[str, Any]
    when: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    remedy: str = ""
    repeats: int | None = None

    @property
    def position(self) -> Position:
        """Where the step leads."""
        return Position(**self.end)

    @property
    def step(self) -> Step:
        """The step of the path that was tried."""
        return path_to_b()[self.number - 1]

    def found(self, quantity: str) -> Interval | float | None:
        """A quantity of :data:`sutrolib.walk.plan.QUANTITIES`; None if it was not found."""
        value = self.quantities.get(quantity)
        if isinstance(value, Mapping):
            ends = float(value["value"]), float(value["low"]), float(value["high"])
            about = (*ends, tuple(map(float, value["points"])))
            if "load" in value:
                return BusyRatio(*about, load=float(value["load"]))
            power = value.get("power")
            return EstimatedRatio(*about, power=MeanPower(**power)) if power else Interval(*about)
        return None if value is None else float(value)

    @property
    def held(self) -> bool | None:
        """Whether what was found lies in the expected range; None if it was not found."""
        wanted, seen = self.plan["expectation"], self.found(self.plan["expectation"]["quantity"])
        value = seen.value if isinstance(seen, Interval) else seen
        return None if value is None else bool(wanted["low"] <= value <= wanted["high"])

    @property
    def path(self) -> Path:
        """Its file."""
        return records_folder() / f"{self.number:02}-{self.attempt}.json"

    def save(self) -> Path:
        """Write the file as a whole. Raises OSError, naming the folder, if that fails."""
        return write_json(self.path, as_json(dataclasses.asdict(self)))


def records_folder() -> Path:
    """The folder of the records."""
    return paths.walk() / "steps"


def read_records() -> list[StepRecord]:
    """All tries in their order. Raises ValueError for a file that is no record of a step."""
    found = [_read(path) for path in sorted(records_folder().glob("*.json")) if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda record: record.order)


def _read(path: Path) -> StepRecord:
    try:
        content = read_json(path)
        return checked(StepRecord(**{**content, "sign": Sign(content["sign"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no record of a step ({error}): restore it with git") from error


@dataclass(frozen=True)
class NextTry:
    """The step to take next: its number, the try, and for a repetition the remedy and the step that asks for it."""

    number: int
    attempt: int = 1
    remedy: str = ""
    repeats: int | None = None


class WalkEnded(ValueError):
    """There is no next step; the message says why, and what could be done."""


def next_try(records: Sequence[StepRecord]) -> NextTry:
    """What the records ask for. Raises WalkEnded at B, at a sign to stop, and where a step turned back twice."""
    if not records:
        return NextTry(1)
    last = records[-1]
    tries = {number: sum(record.number == number for record in records) for number in range(len(path_to_b()) + 1)}
    if last.repeats is not None:  # the step that turned back is tried again, whatever its repetition showed
        return NextTry(last.repeats, tries[last.repeats] + 1)
    if last.sign is Sign.GO:
        if last.number == len(path_to_b()):
            raise WalkEnded("the walk is at B")
        return NextTry(last.number + 1, tries[last.number + 1] + 1)
    turned = [record for record in records if record.number == last.number and record.repeats is None]
    if last.sign is Sign.STOP or sum(record.sign is Sign.TURN_BACK for record in turned) > 1 or last.number == 1:
        ask = f"change its plan, commit it, and run walk --again {last.number}"
        raise WalkEnded(f"step {last.number}: {last.sign}, {last.why}; {ask}")
    before = last.number - 1
    return NextTry(before, tries[before] + 1, str(last.plan["rule"]["remedy"]), last.number)


def champion_before(records: Sequence[StepRecord], number: int) -> StepRecord | None:
    """The last try of the step before ``number`` with a sign to go on, or else its last try.

    None before step 1, where the hand-tuned network stands.
    """
    tries = [record for record in reversed(records) if record.number == number - 1]
    return next((record for record in tries if record.sign is Sign.GO), tries[0] if tries else None)


def repeat(records: Sequence[StepRecord], number: int) -> NextTry:
    """Another try of a step, because a person asks for it. Raises ValueError for one that builds on steps not taken."""
    if number > 1 and champion_before(records, number) is None:
        raise ValueError(f"step {number} builds on steps that were not taken: begin with the next one")
    return NextTry(number, 1 + sum(record.number == number for record in records))


def reached(records: Sequence[StepRecord]) -> Position:
    """The last position that was reached with a sign to go on; A if there is none."""
    return next((record.position for record in reversed(records) if record.sign is Sign.GO), A)


def walked_positions(records: Sequence[StepRecord]) -> tuple[set[Position], set[Position]]:
    """Where the walk has come with a sign to go on, the start included, and where it has turned back."""
    signs = [(record.position, record.sign) for record in records]
    return {A, *(at for at, sign in signs if sign is Sign.GO)}, {at for at, sign in signs if sign is Sign.TURN_BACK}
