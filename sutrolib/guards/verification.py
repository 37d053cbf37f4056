"""Verification of a surprising winner, by trying to break it before it is reported.

The group did so for GF(2) elimination, which solved in microseconds what a network learns in seconds: another
implementation of the scoring, fresh seeds, harder n and k, noise, shuffled labels, a leak test, and a plain statement
of what the method was told. Added here are the ways to lower a reading without lowering the work.

A check that fails speaks against the result, unless it is a limit: where a harder or a noisy problem is not solved,
the result stands and ends there, and where a part of the training does not stand for all of it, it must be weighed
as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sutrolib.core.types import Model, Problem
from sutrolib.guards.checks import Check, Finding, check, outcome
from sutrolib.guards.leakage import leak_checks
from sutrolib.guards.metric_gaming import gaming_checks
from sutrolib.guards.rescoring import independent_scoring

FRESH_SEEDS = 10
BEYOND = 1_000_003  # from the seeds that a result was found on to fresh ones
RELIABLE = 0.5  # the share of seeds that must be shown to be solved
TRIES = 3  # seeds for each harder problem
HEADER = ("check", "outcome", "seen", "why it matters")


@dataclass(frozen=True)
class Verification:
    """What every check saw of one model on one problem."""

    problem: str
    model: str
    checks: tuple[Check, ...]

    @property
    def verified(self) -> bool:
        """No check speaks against the result."""
        return not self.against

    @property
    def against(self) -> tuple[Check, ...]:
        """The checks that speak against it."""
        return tuple(one for one in self.checks if one.passed is False and not one.limit)

    @property
    def verdict(self) -> str:
        """The outcome in words: what speaks against it, where it ends, and what was not tested."""
        passed = sum(one.passed is True for one in self.checks)
        tested = sum(one.passed is not None for one in self.checks)
        text = f"{self.model} on {self.problem}: {'verified' if self.verified else 'not verified'}, "
        text += f"{passed} of {tested} checks passed"
        if self.against:
            text += "; against it: " + ", ".join(one.title for one in self.against)
        limits = [one.title for one in self.checks if one.passed is False and one.limit]
        if limits:
            text += "; its limits: " + ", ".join(limits)
        silent = [one.title for one in self.checks if one.word == "not tested"]
        return text + (f"; not tested: {', '.join(silent)}" if silent else "")

    def of(self, title: str) -> Check:
        """The check whose title begins like this. Raises KeyError with the titles there are."""
        for one in self.checks:
            if one.title.startswith(title):
                return one
        raise KeyError(f"no check {title!r}; there are {', '.join(one.title for one in self.checks)}")

    @property
    def words(self) -> dict[str, str]:
        """The outcome of each check in a word or two; of those of one sort (``noise: 5 %``), how many were passed."""
        sorts: dict[str, list[Check]] = {}
        for one in self.checks:
            sorts.setdefault(one.title.split(": ")[0] if one.limit else one.title, []).append(one)
        return {
            sort: ones[0].word if len(ones) == 1 else f"{sum(one.passed is True for one in ones)} of {len(ones)}"
            for sort, ones in sorts.items()
        }

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of a table, a row for each one."""
        return list(HEADER), [[one.title, one.word, one.seen, one.why] for one in self.checks]


def verify(
    problem: Problem,
    model: Model,
    seeds: Sequence[int],
    *,
    harder: Mapping[str, Problem] | None = None,
    noisy: Mapping[str, Problem] | None = None,
    fresh: int = FRESH_SEEDS,
    trace_updates: int | None = None,
) -> Verification:
    """Try to break the result that ``model`` solves ``problem``, which was found on ``seeds``.

    ``harder`` and ``noisy`` name problems on which it may end; ``trace_updates`` is that of the measurement, where it
    weighed a part of the training. The model is fitted some 40 times.
    Raises ValueError for no seeds, and for fewer than ten ``fresh`` ones.
    """
    if not seeds:
        raise ValueError(f"seeds={seeds!r}, accepted are the seeds that the result was found on")
    if fresh < FRESH_SEEDS:
        raise ValueError(f"fresh={fresh!r}, accepted are {FRESH_SEEDS} seeds and above")
    first = max(seeds) + BEYOND
    new = range(first, first + fresh)
    checks: list[Check] = [
        independent_scoring(problem, model, seeds[0]),
        fresh_seeds(problem, model, new),
        *(_ends(f"harder: {name}", other, model, new[:TRIES]) for name, other in (harder or {}).items()),
        *(_ends(f"noise: {name}", other, model, new[:TRIES]) for name, other in (noisy or {}).items()),
        *leak_checks(problem, model, new),
        *gaming_checks(problem, model, first + fresh, trace_updates),
    ]
    return Verification(problem.name, model.name, tuple(checks))


@check("fresh seeds", "a result that was found on some seeds may be one of those seeds only")
def fresh_seeds(problem: Problem, model: Model, seeds: Sequence[int]) -> Finding:
    """Solve seeds that nobody has looked at; passed where more than half are shown to be solved (Clopper-Pearson)."""
    from scipy.stats import binomtest

    outcomes = [outcome(problem, model, seed) for seed in seeds]
    solved = sum(found.solved for found in outcomes)
    sure = binomtest(solved, len(seeds)).proportion_ci(0.95, method="exact")
    failures = [found.failure for found in outcomes if found.failure]
    seen = f"{solved} of {len(seeds)} solved, {solved / len(seeds):.2f} [{sure.low:.2f}, {sure.high:.2f}] at 95 %"
    return bool(sure.low > RELIABLE), seen + (f"; {len(failures)} came to no model: {failures[0]}" if failures else "")


def _ends(title: str, problem: Problem, model: Model, seeds: Sequence[int]) -> Check:
    """Whether the model goes further than the result that is verified: all of ``seeds`` solved."""
    outcomes = [outcome(problem, model, seed) for seed in seeds]
    solved = sum(found.solved for found in outcomes)
    scores = [found.score for found in outcomes if found.score is not None]
    seen = f"{solved} of {len(seeds)} solved"
    seen += f", scores {min(scores):.3f} to {max(scores):.3f}" if scores else ""
    failures = [found.failure for found in outcomes if found.failure]
    seen += f"; {failures[0]}" if failures else ""
    return Check(title, solved == len(seeds), seen, "says where the result ends", limit=True)
