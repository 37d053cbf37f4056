"""The cube: three axes with their rungs, positions, steps along one axis, and the path from A to B.

A *position* is one rung on each axis. A *step* changes one axis and keeps the other two. Corner A is the lowest rung of
every axis, corner B the highest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Axis(StrEnum):
    """The three directions of research."""

    PROCESS = "process"
    METRIC = "metric"
    PROBLEM = "problem"


# Okabe and Ito's colours (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
COLOURS = {Axis.PROCESS: "#E69F00", Axis.METRIC: "#009E73", Axis.PROBLEM: "#0072B2"}

QUESTIONS = {
    Axis.PROCESS: "How is the algorithm found?",
    Axis.METRIC: "By what cost is it judged?",
    Axis.PROBLEM: "What does it learn?",
}


@dataclass(frozen=True)
class Rung:
    """One rung of an axis: a short ``key`` for code and files, and a ``title`` for readers."""

    key: str
    title: str


RUNGS: dict[Axis, tuple[Rung, ...]] = {
    Axis.PROCESS: (
        Rung("by-hand", "by hand, one change at a time"),
        Rung("search", "grid and random search"),
        Rung("model-based", "model-based search"),
        Rung("multi-fidelity", "multi-fidelity search"),
        Rung("evolution", "evolution of algorithms"),
    ),
    Axis.METRIC: (
        Rung("ard", "average reuse distance (memory proxy)"),
        Rung("dmd", "data movement distance"),
        Rung("cache-energy", "cache-hierarchy energy, modelled"),
        Rung("codecarbon", "CodeCarbon joules, estimated"),
        Rung("joules", "joules, measured"),
    ),
    Axis.PROBLEM: (
        Rung("parity", "sparse parity"),
        Rung("parity-hard", "harder and noisy parity"),
        Rung("digits", "handwritten digits"),
        Rung("letters", "next letter of 27"),
        Rung("shakespeare", "nanoGPT on Shakespeare"),
    ),
}

# Processes beside their axis: what an outside agent does cannot be run again offline, so no step of the path needs it.
BESIDE = frozenset({"agent"})


def _rung_index(axis: Axis, key: str) -> int:
    """The index of the rung ``key``, 0 for the lowest. Raises ValueError, with all keys, for an unknown one."""
    keys = [rung.key for rung in RUNGS[axis]]
    if key not in keys:
        raise ValueError(f"{axis} axis: no rung {key!r}; the rungs are {', '.join(keys)}")
    return keys.index(key)


@dataclass(frozen=True)
class Position:
    """One rung on each axis, by key. ValueError for an unknown rung."""

    process: str
    metric: str
    problem: str

    def __post_init__(self) -> None:
        self.indices()

    def indices(self) -> tuple[int, ...]:
        """The rung indices (process, metric, problem)."""
        return tuple(_rung_index(axis, getattr(self, axis)) for axis in Axis)

    def moved(self, axis: Axis, by: int = 1) -> Position | None:
        """The position ``by`` rungs along ``axis``, or None beyond the end of the axis."""
        index = _rung_index(axis, getattr(self, axis)) + by
        return replace(self, **{axis: RUNGS[axis][index].key}) if 0 <= index < len(RUNGS[axis]) else None


@dataclass(frozen=True)
class Step:
    """A move between two positions that differ on exactly one axis; else ValueError."""

    start: Position
    end: Position

    def __post_init__(self) -> None:
        self.axis  # noqa: B018 - computing it is the check

    @property
    def axis(self) -> Axis:
        """The axis of this step."""
        moved = [axis for axis in Axis if getattr(self.start, axis) != getattr(self.end, axis)]
        if len(moved) != 1:
            raise ValueError(f"a step must change exactly one axis (this one changes {', '.join(moved) or 'none'})")
        return moved[0]

    def __str__(self) -> str:
        return f"{self.axis}: {getattr(self.start, self.axis)} -> {getattr(self.end, self.axis)}"


A = Position(*(RUNGS[axis][0].key for axis in Axis))
B = Position(*(RUNGS[axis][-1].key for axis in Axis))


def next_steps(position: Position) -> list[Step]:
    """The steps that lead one rung up from ``position``; none at B."""
    return [Step(position, end) for axis in Axis if (end := position.moved(axis)) is not None]


def path_to_b() -> list[Step]:
    """The path from A to B: one rung at a time, with metric, problem and process in turn, and measured joules last.

    Taking turns keeps every step small: no axis runs far ahead of what the others have tested. A machine without a
    power counter can take every step but the last, and one that has a counter only needs to take that one.
    """
    steps: list[Step] = []
    here, last = A, B.moved(Axis.METRIC, -1)
    while here != B:
        for axis in (Axis.METRIC, Axis.PROBLEM, Axis.PROCESS):
            there = here.moved(axis)
            if there is not None and (there.metric != B.metric or here == last):
                steps.append(Step(here, there))
                here = there
    return steps


@dataclass(frozen=True)
class Mistake:
    """One of the four mistakes to avoid, and the notebooks that guard against it."""

    title: str
    meaning: str
    guards: tuple[str, ...]


_PROXY_GUARDS = ("20_from_counts_to_joules", "23_warm_to_the_touch", "24_is_the_proxy_safe", "14_verify_the_winner")
_STEP_GUARDS = ("11_one_change_at_a_time", "12_search")
_FUTURE_GUARDS = ("25_other_hardware", "13_evolution")

MISTAKES = (
    Mistake("Too simple an objective", "a proxy that stops tracking the real cost", _PROXY_GUARDS),
    Mistake("Suboptimization", "parts tuned apart get stuck, or make the whole worse", ("33_parts_and_whole",)),
    Mistake("Risk mismanagement", "going far without a sign of life", _STEP_GUARDS),
    Mistake("Building for the wrong future", "an algorithm that wins only on today's hardware", _FUTURE_GUARDS),
)
