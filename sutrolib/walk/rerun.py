"""Mistake 4, building for the wrong future: is an algorithm kept, or is the process run again?

At a step to another problem the walk inherits an algorithm. It is *kept* where it solves the new problem as it is;
*rerun* is what the process of that position finds from it. Both are judged by the modelled energy of some hardware, and
what the trials read is charged: the search pays for itself after so many trainings. (Trials that fail before they are
read, the choice among what was found, and the checks against gaming are not charged. By hand, a change that is slower
here is not kept either.) This is asked of today's hardware and of another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sutrolib.core.io import temporary_folder
from sutrolib.core.stats import Interval
from sutrolib.core.types import Model
from sutrolib.measurement.comparison import reading_ratio
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.walk_records import NextTry, StepRecord, champion_before
from sutrolib.meters import CacheEnergy
from sutrolib.meters.access.cache_energy import Hardware
from sutrolib.processes.budget import Override
from sutrolib.processes.recheck import PROXY_AUDIT
from sutrolib.walk.champion import model_of
from sutrolib.walk.fresh_seeds import mean_reading, solved
from sutrolib.walk.plan import ENOUGH, read_plan
from sutrolib.walk.step import CORNER_A, StepRun

_OTHER_MACHINE = Override(PROXY_AUDIT, "the walk", "the hardware is not this machine, so no joules of it can be read")


@dataclass(frozen=True)
class Rerun:
    """What keeping the algorithm and running the process again cost at one step, on one hardware; joules, modelled.

    ``kept_solved`` and ``found_solved`` are shares of the fresh seeds; ``cost_kept`` and ``cost_found`` are of one
    training (the mean over the seeds on which it did not fail), None where there is none; ``ratio`` is found / kept,
    None where a training failed.
    """

    number: int
    hardware: str
    kept: str
    found: str
    kept_solved: float
    found_solved: float
    cost_kept: float | None
    cost_found: float | None
    cost_search: float
    ratio: Interval | None
    failed: str = ""  # why the kept algorithm could not be measured at all

    @property
    def break_even(self) -> float | None:
        """The number of trainings from which on the search has paid for itself; None if keeping is no dearer.

        0 where the kept algorithm does not solve enough seeds and what was found does: there is nothing to keep.
        """
        if self.found_solved < ENOUGH or self.cost_found is None:
            return None
        if self.kept_solved < ENOUGH or self.cost_kept is None:
            return 0.0
        shown = self.ratio is not None and self.ratio.high < 1 and self.cost_found < self.cost_kept
        return self.cost_search / (self.cost_kept - self.cost_found) if shown else None

    @property
    def verdict(self) -> str:
        """Which is better, in words."""
        if self.break_even:
            return f"rerun, from {self.break_even:,.0f} trainings on"
        if self.break_even == 0:
            return f"rerun: what is kept solves less than {ENOUGH:.0%}"
        return "keep" if self.kept_solved >= ENOUGH else "neither solves enough"


def keep_or_rerun(number: int, hardware: Hardware, records: Sequence[StepRecord], trials: int, seconds: float) -> Rerun:
    """One search of step ``number`` by the energy of ``hardware``, and both algorithms on fresh seeds.

    Args:
        number: a step to another problem.
        trials, seconds: at most, of the search; never more than its plan allows.
    """
    plan = read_plan(number, committed=False)
    limit = min(seconds, plan.seconds or seconds)
    plan = dataclasses.replace(plan, trials=min(trials, plan.trials), searches=1, seconds=limit)
    before, meter = champion_before(records, number), CacheEnergy(hardware)
    kept = model_of(before.champion) if before else CORNER_A
    with temporary_folder("rerun") as folder:
        run = StepRun(NextTry(number), plan, records, Path(folder), overrides=(_OTHER_MACHINE,))
        ground = run.ground
        space, _ = ground.space_from(kept)
        studies = run.search(run.rung, ground, space, meter, "new")
        found = run.choose(ground, meter, space.model(space.start), studies)
        after = run.fresh(ground, meter).runs({"found": found})["found"]
        before_runs, failed = _runs(run, kept, meter)
    runs = {"kept": before_runs, "found": after}
    costs = {name: _mean_cost(group, meter.name) for name, group in runs.items()}
    whole = bool(before_runs) and not any(run.failure for run in (*before_runs, *after))
    return Rerun(
        number=number,
        hardware=hardware.name,
        kept=type(kept).name,
        found=type(found).name,
        kept_solved=solved(before_runs) if before_runs else 0.0,
        found_solved=solved(after),
        cost_kept=costs["kept"],
        cost_found=costs["found"],
        cost_search=sum(study.total_cost for study in studies),
        ratio=reading_ratio(after, before_runs, meter.name) if whole else None,
        failed=failed,
    )


def _mean_cost(runs: Sequence[Measurement], metric: str) -> float | None:
    """The mean cost of the trainings that did not fail; None if there is none."""
    trained = [run for run in runs if not run.failure]
    return mean_reading(trained, metric) if trained else None


def _runs(run: StepRun, kept: Model, meter: CacheEnergy) -> tuple[list[Measurement], str]:
    """The kept algorithm on the fresh seeds; none, and why, where it cannot take the problem."""
    try:
        return run.fresh(run.ground, meter).runs({"kept": kept})["kept"], ""
    except Exception as error:  # a model that was made for another problem can fail in any way
        return [], f"{type(error).__name__}: {error}"
