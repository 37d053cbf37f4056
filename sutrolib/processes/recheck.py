"""A search asks the audit of proxies: the metric that it minimises may rank candidates wrongly (mistake 1).

The published audit (``data/results/audit.json``, notebook 24) says for each problem that was audited which metrics are
not safe in place of which more realistic ones. A search by such a metric measures its best :data:`RECHECKED` candidates
anew by the more realistic one, and keeps the best by that. A person may override this; the override stays in the study.

Whatever is searched for is also searched among the ways to look cheap. So the best candidate is kept only if no check
against metric gaming (:mod:`sutrolib.measurement.metric_gaming`) fails; nobody can override that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core import paths
from sutrolib.core.cube import RUNGS, Axis
from sutrolib.core.records import read_json
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.checks import fresh_seed
from sutrolib.measurement.metric_gaming import fresh_cost, gaming_checks
from sutrolib.meters import METERS
from sutrolib.meters.base import Meter, too_high_load
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import Override, start_clock
from sutrolib.processes.evaluator import Evaluator, TrialState
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.storage import StudyStorage
from sutrolib.processes.study import Trial

RECHECKED = 5
PROXY_AUDIT = "proxy audit"  # what an override of the re-check names in place of a milestone


def found_unsafe(metric: str, rung: str) -> list[Mapping[str, str]]:
    """The verdicts that ``metric`` is not safe on the problem of ``rung``, the least realistic reference first.

    Each has the fields that :func:`sutrolib.guards.proxy_audit.save_verdicts` writes. A problem that was not audited
    takes the verdicts of all that were; one without a rung has none. Raises ValueError for a file that cannot be read.
    """
    try:
        stored = read_json(paths.audit()) if rung and paths.audit().exists() else []
        known = [one for one in stored if one["metric"] == metric]
        here = [one for one in known if one["rung"] == rung] or known
        unsafe = {one["reference"]: one for one in here if one["verdict"] == "not safe"}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{paths.audit()} cannot be read ({error!r}): restore it with git") from error
    return [unsafe[one.key] for one in RUNGS[Axis.METRIC] if one.key in unsafe]


def needed_recheck(metric: str, problem: Problem, overrides: Sequence[Override]) -> tuple[str, Meter | None]:
    """What the audit has against a search by ``metric``, in words (empty: nothing), and the meter of the re-check.

    That is the next rung of the metric axis in place of which the metric is not safe, and that works here; None where
    an override names :data:`PROXY_AUDIT`. Raises ValueError where no such rung works here and none was overridden.
    """
    meters, missing = {meter.name: meter for meter in METERS}, []
    override = next((one for one in overrides if one.milestone == PROXY_AUDIT), None)
    for found in found_unsafe(metric, problem.rung):
        source = f"audit on {found['rung']}, {found['when'][:10]}, commit {found['commit'] or 'unknown'}"
        why, reference = f"{found['why']} ({source})", meters[found["reference"]]
        if override:
            return f"{why}; the re-check was overridden by {override.who}: {override.why}", None
        if (available := reference.available()).ok:
            return f"{why}; up to {RECHECKED} of the best trials were measured anew by {reference.name}", reference()
        missing.append(f"{why}; {available.why}")
    if missing:
        ask = f"add Override({PROXY_AUDIT!r}, who, why) to the overrides to go on without a re-check"
        raise ValueError(f"{'; '.join(missing)}: {ask}")
    return "", None


@dataclass(frozen=True)
class Finalists:
    """The best trials of a search, looked at once more; what is found is noted in its storage, with what it cost."""

    space: SearchSpace
    storage: StudyStorage
    evaluator: Evaluator
    estimator: CumulativeJoules | None

    def _note(self, name: str, trial: Trial, find: Callable[[Model], dict[str, Any]]) -> dict[str, Any]:
        """What ``find`` finds of the trial's model. On a busy machine it decides nothing, and is found anew."""
        known = self.storage.notes().get(name)
        if known is None or known.get("load"):
            assert trial.proposal is not None  # it was solved
            spent, found = start_clock(self.estimator), find(self.space.model(trial.proposal))
            self.storage.note(name, known := found | {"extra": dataclasses.asdict(spent(0))})
        return known

    def rechecked(self, finished: Sequence[Trial], meter: Meter) -> tuple[Trial, ...]:
        """The trials, the best few of them with their cost by ``meter`` too."""
        trials = {trial.number: trial for trial in finished}
        evaluator, busy = dataclasses.replace(self.evaluator, meter=meter), False

        def find(model: Model) -> dict[str, Any]:
            found = evaluator.evaluate(model)
            load = too_high_load(r for run in found.runs for r in run.readings if r.name == meter.name)
            return {"cost": found.lifetime_cost, "why": found.why, "load": load}

        solved = [trial for trial in finished if trial.cost is not None and trial.kept]
        for trial in sorted(solved, key=lambda trial: trial.objective)[:RECHECKED]:
            note = self._note(f"{meter.name} of trial {trial.number}", trial, find)
            busy = busy or bool(note.get("load"))
            cost = "no reading" if note["cost"] is None else f"{note['cost']:.4g} {meter.unit} ({meter.kind})"
            why = f"{trial.why}; {meter.name}: {cost}, {note['why']}"
            trials[trial.number] = dataclasses.replace(trial, recheck=note["cost"], why=why)
        return tuple(dataclasses.replace(t, recheck=None) if busy else t for t in trials.values())

    def gaming(self, best: Trial | None) -> Trial | None:
        """The best trial as refused, and why, if it fails a check against metric gaming; else None."""
        if best is None or best.cost is None:
            return None
        about = self.evaluator.problem, self.evaluator.meter, best.cost, self.evaluator.trace_updates
        name = f"gaming checks of trial {best.number}"
        why = self._note(name, best, lambda model: {"found": gaming_finding(model, *about)})["found"]
        return dataclasses.replace(best, state=TrialState.REFUSED, cost=None, why=f"{best.why}; {why}") if why else None


def gaming_finding(model: Model, problem: Problem, meter: Meter, claimed: float, trace_updates: int | None) -> str:
    """What the checks against metric gaming have against a model that claims this cost, in words; empty: nothing."""
    found = gaming_checks(problem, model, fresh_seed(), trace_updates)
    found = (*found, fresh_cost(problem, model, meter, claimed, trace_updates))
    return "; ".join(f"failed {one.title!r}: {one.evidence}" for one in found if one.status == "failed")
