"""One step of the walk: the process of its position chooses by its metric, and fresh seeds show what that was worth.

Searches begin at the inherited champion. Of what they found, the cheapest on other seeds that solves the problem is the
new champion; it is then measured against what the searches began with, in turns, on paired seeds that nothing was
chosen by. The searches keep journals and the measurements a ledger of their own, so a step that was killed goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.core.cube import RUNGS, Axis, Position, Step, path_to_b
from sutrolib.core.io import as_json, temporary_folder
from sutrolib.core.paths import DATA
from sutrolib.core.provenance import commit, machine, now, versions
from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Model, describe
from sutrolib.measurement.walk_records import NextTry, StepRecord, champion_before, repeat
from sutrolib.meters import METERS
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import NO_USE, Override, SearchBudget
from sutrolib.processes.evaluator import Evaluator, ignore
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.manual import ManualTuning
from sutrolib.processes.model_families import TUNED_MLP
from sutrolib.processes.samplers import PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study, Trial
from sutrolib.walk.champion import model_of
from sutrolib.walk.evidence import compare_processes, proposals, rank_trials
from sutrolib.walk.fresh_seeds import FIRST_FRESH, FreshSeeds, cost_ratio, solved, verdict
from sutrolib.walk.plan import StepPlan, read_plan
from sutrolib.walk.spaces import Ground, grounds

CORNER_A = TUNED_MLP  # what notebook 11 found by hand
_SEARCHES = {search.rung: search for search in (RandomSearch, TPESearch, PrunedTPE, Evolution)}
_CHOOSING, _COMPARING = 5_000, 7_000  # first seeds, beyond those of the searches
_TRY = 100  # seeds between those of a step's tries


@dataclass
class StepRun:
    """A step under way; ``folder`` keeps what it has done, and ``on_trial`` is told every finished trial.

    ``overrides`` are those of its searches, such as to leave out what the proxy audit asks for.
    """

    todo: NextTry
    plan: StepPlan
    records: Sequence[StepRecord]
    folder: Path
    on_trial: Callable[[Trial], object] = ignore
    say: Callable[[str], object] = ignore
    overrides: tuple[Override, ...] = ()

    @property
    def step(self) -> Step:
        """The step of the path."""
        return path_to_b()[self.todo.number - 1]

    @property
    def ground(self) -> Ground:
        """What is learned at the step's end."""
        return grounds()[self.step.end.problem]

    @property
    def rung(self) -> str:
        """The process that chooses: that of the position, or the next one where the remedy says so."""
        keys = [rung.key for rung in RUNGS[Axis.PROCESS]]
        later = self.todo.remedy == "the next process" and self.step.end.process != keys[-1]
        return keys[keys.index(self.step.end.process) + later]

    @property
    def metric(self) -> str:
        """The metric that judges: that of the position, or the one of the step that turned back."""
        other = self.todo.remedy == "the other metric" and self.todo.repeats
        return path_to_b()[other - 1].end.metric if other else self.step.end.metric

    @property
    def budget(self) -> SearchBudget:
        """What each search may spend; twice as much where the remedy is more budget."""
        more = 2 if self.todo.remedy == "more budget" else 1
        seconds = self.plan.seconds and self.plan.seconds * more
        return SearchBudget(trials=self.plan.trials * more, seconds=seconds)

    def take(self) -> StepRecord:
        """Take the step. Raises ValueError for a metric that does not work here."""
        began = time.perf_counter()
        meter = meter_of(self.metric)
        before = champion_before(self.records, self.todo.number)
        inherited = model_of(before.champion) if before else CORNER_A
        ground = self.ground
        space, refused = ground.space_from(inherited)
        start = space.model(space.start)
        studies = self.search(self.rung, ground, space, meter, "new")
        champion = self.choose(ground, meter, start, studies)
        compared, narrow = {"champion": champion, "start": start}, {}
        for name, division in ground.divisions.items():
            begin = division.model(division.start)
            narrowed = dataclasses.replace(self, plan=self.plan.of_division(name))
            searches = narrowed.search(self.rung, ground, division, meter, name)
            narrow[name] = searches, self.choose(ground, meter, begin, searches)
            compared |= {f"{name} champion": narrow[name][1], f"{name} start": begin}
        runs = self.fresh(ground, meter).runs(compared)  # all in turns
        found: dict[str, Any] = {"ratio": cost_ratio(runs["champion"], runs["start"], meter)}
        found |= {"solved": solved(runs["champion"])} | self._moved(ground, space, meter, inherited, studies)
        for name, (searches, best) in narrow.items():
            own, begun = runs[f"{name} champion"], runs[f"{name} start"]
            found[f"ratio to the start of {name}"] = cost_ratio(runs["champion"], begun, meter)
            about = {"champion": describe(best), "ratio": cost_ratio(own, begun, meter), "solved": solved(own)}
            found[name] = about | {
                "verdict": verdict(own, begun, meter),
                "found": proposals(one.best for one in searches),
            }
        sign = self.plan.rule.sign(_unfavourable(found.get(self.plan.rule.quantity), self.plan.rule.at_least is None))
        spent = sum((study.spent for study in studies), NO_USE)
        judged = verdict(runs["champion"], runs["start"], meter)
        return StepRecord(
            number=self.todo.number,
            attempt=self.todo.attempt,
            order=len(self.records) + 1,
            end=as_json(dataclasses.asdict(self.step.end) | {"process": self.rung, "metric": self.metric}),
            axis=str(self.step.axis),
            kept={str(axis): getattr(self.step.end, axis) for axis in Axis if axis != self.step.axis},
            plan=as_json(dataclasses.asdict(self.plan)),
            inherited=describe(inherited),
            start=describe(start),
            refused=refused,
            champion=describe(champion),
            program=champion.program_text(describe(ground.problem)) if hasattr(champion, "program_text") else "",
            studies=[as_json(study.to_dict()) for study in studies],
            quantities=as_json(_plain(found)),
            verdict=judged,
            sign=sign,
            why=f"{self.plan.rule}; it is {_text(found.get(self.plan.rule.quantity))}",
            learned=self._learned(champion, start, found, meter, judged),
            spent={**dataclasses.asdict(spent), "all seconds": time.perf_counter() - began},
            when=now(),
            commit=commit(),
            machine=machine(),
            versions=versions(),
            remedy=self.todo.remedy,
            repeats=self.todo.repeats,
        )

    def search(self, rung: str, ground: Ground, space: SearchSpace, meter: Meter, name: str) -> list[Study]:
        """The searches of one process, each with its own first seed."""
        studies = []
        for index in range(self.plan.searches):
            self.say(f"{name}: search {index + 1} of {self.plan.searches} by {rung}")
            process = self._process(rung, ground, self.folder / f"{name}-{index}.journal")
            studies.append(process.improve(ground.searched, space, meter, self.budget, 100 * index))
        return studies

    def _process(self, rung: str, ground: Ground, journal: Path) -> Search | ManualTuning:
        options: dict[str, Any] = {"trace_updates": ground.trace_updates, "on_trial": self.on_trial}
        options |= {"overrides": self.overrides}
        if rung == ManualTuning.rung:
            return ManualTuning(self.plan.changes, **options)
        return _SEARCHES[rung](pairs=self.plan.pairs, journal=journal, estimate_joules=True, **options)

    def choose(self, ground: Ground, meter: Meter, start: Model, studies: Sequence[Study]) -> Model:
        """The cheapest, on seeds of its own, of what the searches found and the start; the start if none solves it."""
        candidates = list({str(describe(one)): one for one in [start, *(s.model for s in studies if s.best)]}.values())
        evaluator = self._evaluator(ground, meter, _CHOOSING)
        costs = [evaluator.evaluate(candidate).lifetime_cost for candidate in candidates]
        solved = [(cost, index) for index, cost in enumerate(costs) if cost is not None]
        return candidates[min(solved)[1]] if solved else start

    def _evaluator(self, ground: Ground, meter: Meter, first: int) -> Evaluator:
        """Measures on seeds from ``first`` on that no search has seen; a try that repeats a step has others."""
        first += _TRY * (self.todo.attempt - 1)
        seeds = range(first, first + self.plan.pairs + 1)
        return Evaluator(ground.searched, meter, seeds, trace_updates=ground.trace_updates, charge_use=True)

    def _moved(
        self, ground: Ground, space: SearchSpace, meter: Meter, inherited: Model, studies: Sequence[Study]
    ) -> dict[str, Any]:
        """What only a step on this axis can show."""
        if self.step.axis is Axis.PROBLEM:
            return self._inherited(ground, meter, inherited)
        if self.step.axis is Axis.METRIC:
            return rank_trials(ground, space, meter_of(self.step.start.metric), meter, studies, self.say)
        worse = self.search(self.step.start.process, ground, space, meter, "old")
        return compare_processes(self._evaluator(ground, meter, _COMPARING), studies, worse, self.say)

    def fresh(self, ground: Ground, meter: Meter) -> FreshSeeds:
        """Seeds on which models are compared."""
        first = FIRST_FRESH + _TRY * (self.todo.attempt - 1)
        return FreshSeeds(ground, meter, self.rung, self.folder / "fresh", self.say, first)

    def _inherited(self, ground: Ground, meter: Meter, inherited: Model) -> dict[str, Any]:
        """The share of the fresh seeds that the inherited champion solves; 0, and why, where it cannot take them."""
        try:
            return {"inherited solved": solved(self.fresh(ground, meter).runs({"inherited": inherited})["inherited"])}
        except Exception as error:  # a model that was made for another problem can fail in any way
            return {"inherited solved": 0.0, "inherited failed": f"{type(error).__name__}: {error}"}

    def _learned(self, champion: Model, start: Model, found: Mapping[str, Any], meter: Meter, judged: str) -> str:
        """What the step taught, in one sentence; ``judged`` is the verdict, or why there is none."""
        ratio, shown = found["ratio"], f"solves {found['solved']:.0%} of {MIN_PAIRS} fresh seeds"
        if str(describe(champion)) == str(describe(start)):
            return f"Nothing that was found is cheaper than {type(start).name} and solves other seeds. That {shown}."
        cost = f"costs {ratio} of the {meter.name} of {type(start).name}" if ratio else f"is {judged}"
        return f"{type(champion).name} {cost}, and {shown}."


def rehearse(todo: NextTry, records: Sequence[StepRecord], trials: int, searches: int, changes: int) -> StepRecord:
    """Take a step by a smaller plan, from what is recorded, in a folder that is thrown away with its record.

    Raises ValueError for a step that builds on steps that were not taken, or whose metric does not work here.
    """
    repeat(records, todo.number)
    whole = read_plan(todo.number, committed=False)
    smaller: dict[str, Any] = {"trials": trials, "searches": searches, "divisions": {}}
    plan = dataclasses.replace(whole, changes=whole.changes[:changes], **smaller)
    with temporary_folder("walk") as folder:
        return StepRun(todo, plan, records, Path(folder)).take()


def meter_of(metric: str) -> Meter:
    """The meter of this rung. Raises ValueError, with the reason, where it does not work on this machine."""
    kind = next(meter for meter in METERS if meter.name == metric)
    available = kind.available()
    if not available.ok:
        raise ValueError(f"{metric} cannot be read here: {available.why}")
    meter: Meter = kind()
    return meter


def step_folder(todo: NextTry) -> Path:
    """Where a step keeps what it has done until its record is written."""
    return DATA / "runs" / "walk" / f"{todo.number:02}-{todo.attempt}"


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities as they are kept: intervals with their fields."""
    kept: dict[str, Any] = {}
    for name, value in found.items():
        inner = _plain(value) if isinstance(value, dict) else value
        kept[name] = dataclasses.asdict(value) if isinstance(value, Interval) else inner
    return kept


def _unfavourable(value: Any, upper: bool) -> float | None:
    """The end of an interval that speaks against going on; a number as it is."""
    if isinstance(value, Interval):
        return value.high if upper else value.low
    return None if value is None else float(value)


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value) if isinstance(value, Interval) else f"{value:.3g}"


def at(position: Position) -> str:
    """A position in words."""
    return " / ".join(getattr(position, axis) for axis in Axis)
