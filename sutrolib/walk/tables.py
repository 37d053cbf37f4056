"""The records of the walk as tables: what each try showed, the lineage of champions, and what the guards said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sutrolib.core.cube import MISTAKES, Axis, Position
from sutrolib.core.stats import Interval
from sutrolib.measurement.comparison import MeanPower
from sutrolib.measurement.walk_records import StepRecord
from sutrolib.walk.plan import ENOUGH

if TYPE_CHECKING:
    from sutrolib.walk.rerun import Rerun

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

_PROXY, _PARTS, _RISK, _FUTURE = (mistake.title for mistake in MISTAKES)


def searches_at(records: Iterable[StepRecord]) -> Counter[Position]:
    """How many searches the walk made at each position, repetitions included."""
    found: Counter[Position] = Counter()
    for record in records:
        found[record.position] += len(record.studies)
    return found


def is_clock(record: StepRecord) -> bool:
    """Whether the joules that judged this try were estimated and only told the time."""
    power = (record.quantities.get("ratio") or {}).get("power")
    return power is not None and MeanPower(float(power["low"]), float(power["high"])).is_clock


def shown_cheaper(record: StepRecord) -> bool:
    """Whether the champion is shown to cost less than what the step began with, and solves most fresh seeds."""
    ratio, share = record.found("ratio"), record.found("solved")
    return isinstance(ratio, Interval) and ratio.high < 1 and isinstance(share, float) and share >= ENOUGH


def title(record: StepRecord) -> str:
    """The number of the step, and which try it was if not the first."""
    remedy = f": {record.remedy}" if record.remedy else ""
    return f"{record.number}" + (f", try {record.attempt}{remedy}" if record.attempt > 1 else "")


def text(value: Interval | float | None) -> str:
    """A quantity in words."""
    return "not found" if value is None else str(value) if isinstance(value, Interval) else f"{value:.3g}"


def steps_table(records: Sequence[StepRecord]) -> Table:
    """Each try: what moved, what was expected and seen, how it was decided, and what it taught."""
    header = ("step", "moved", "expected", "seen", "held", "sign", "what it taught")
    rows: list[tuple[str, ...]] = []
    for record in records:
        wanted = record.plan["expectation"]
        expected = f"{wanted['quantity']} {wanted['value']:g} ({wanted['low']:g} to {wanted['high']:g})"
        held = {True: "yes", False: "no", None: ""}[record.held]
        seen = text(record.found(wanted["quantity"]))
        rows.append((title(record), str(record.step), expected, seen, held, str(record.sign), record.learned))
    return header, rows


def lineage(records: Sequence[StepRecord]) -> Table:
    """The champion of each try, and in what it differs from the inherited one."""
    header = ("step", "inherited", "champion", "what is new in it")
    rows: list[tuple[str, ...]] = []
    for record in records:
        new = ", ".join(_differences(record.inherited, record.champion)) or "nothing"
        if record.refused:
            new += f"; the inherited one could not begin: {record.refused}"
        rows.append((title(record), record.inherited["name"], record.champion["name"], new))
    return header, rows


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["name"] != new["name"]:
        yield f"another algorithm ({', '.join(f'{n} {_short(v)}' for n, v in _settings(new))})"
        return
    before = dict(_settings(old))
    yield from (f"{n} {_short(before.get(n))} -> {_short(v)}" for n, v in _settings(new) if before.get(n) != v)


def _settings(described: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in described.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        elif name != "name":
            yield prefix + name, value


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def guards_table(records: Sequence[StepRecord]) -> Table:
    """Which of the four mistakes each try was guarded against, and what that guard said."""
    rows: list[tuple[str, ...]] = [(title(r), mistake, said) for r in records for mistake, said in _guards(r)]
    return ("step", "mistake", "what the guard said"), rows


def _guards(record: StepRecord) -> Iterator[tuple[str, str]]:
    if record.axis == Axis.METRIC:
        kept = record.quantities.get("best kept")
        agreed = f"rank correlation of {record.step.start.metric} and {record.step.end.metric}: "
        agreed += text(record.found("correlation"))
        if kept is not None:
            agreed += f"; {kept} of the old metric's best five stay, of {record.quantities['ranked']} trials"
        yield _PROXY, agreed
    for audit in {study["audit"] for study in record.studies if study.get("audit")}:
        yield _PROXY, audit
    refused = sum("failed '" in trial["why"] for study in record.studies for trial in study.get("trials", ()))
    if refused:
        yield _PROXY, f"trials that the checks against metric gaming refused: {refused}"
    if division := record.quantities.get("closed"):
        whole = text(record.found("ratio to the start of closed"))
        yield _PARTS, f"cost / published recipe: {whole} with every family, {_narrow(division)} with its network alone"
    if found := record.quantities.get("found"):
        new, old = (_families(found[side]) for side in ("new", "old"))
        yield _RISK, f"{record.step.end.process} found {new}; {record.step.start.process} {old}"
    if record.axis == Axis.PROBLEM:
        share, why = record.found("inherited solved"), record.quantities.get("inherited failed", "")
        yield _FUTURE, f"the kept algorithm solves {share:.0%} of the fresh seeds" + (f" ({why})" if why else "")
    yield _RISK, f"{record.sign}: {record.why}"


def _families(proposals: Sequence[str]) -> str:
    found = Counter(one.partition(" (")[0] or "nothing" for one in proposals)
    return ", ".join(f"{name} ({count})" for name, count in found.most_common())


def _narrow(division: Mapping[str, Any]) -> str:
    return f"{text(_interval(division['ratio']))} ({division['solved']:.0%} of the fresh seeds solved)"


def _interval(kept: Mapping[str, Any] | None) -> Interval | None:
    if kept is None:
        return None
    return Interval(float(kept["value"]), float(kept["low"]), float(kept["high"]), tuple(kept["points"]))


def unaided_table(record: StepRecord, designed: Mapping[str, tuple[str, Interval]]) -> Table:
    """What the process found at nanoGPT against what was ``designed``: by division its name and its cost.

    All costs are ratios to those of the published recipe.
    """
    header = ("division", "the process found", "cost / published", "designed", "cost / published", "found / designed")
    rows: list[tuple[str, ...]] = []
    for division, (name, cost) in designed.items():
        narrow = record.quantities.get(division)
        known = _interval(narrow["ratio"]) if narrow else record.found("ratio to the start of closed")
        part = narrow or {"champion": record.champion, "solved": record.found("solved")}
        start = isinstance(known, Interval) and {*known.points} == {1.0}  # the same runs on both sides
        what = "nothing cheaper than the published recipe" if start else part["champion"]["name"]
        finder = f"{what} ({part['solved']:.0%} of the fresh seeds solved)"
        times = f"{known.value / cost.value:.3g}" if isinstance(known, Interval) else ""
        rows.append((division, finder, text(known), name, str(cost), times))
    return header, rows


def rerun_table(choices: Sequence[Rerun]) -> Table:
    """Keeping the algorithm against running the process again, at each step and on each hardware."""
    header = ("step", "hardware", "kept (solves)", "found (solves)", "found / kept", "search, J (modelled)", "better")
    rows: list[tuple[str, ...]] = []
    for one in choices:
        why = f"; {one.failed}" if one.failed else ""
        kept, found = f"{one.kept} ({one.kept_solved:.0%}{why})", f"{one.found} ({one.found_solved:.0%})"
        ratio = "" if one.ratio is None else str(one.ratio)
        rows.append((f"{one.number}", one.hardware, kept, found, ratio, f"{one.cost_search:.3g}", one.verdict))
    return header, rows
