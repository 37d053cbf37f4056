"""The frontier of loss against the work of training: where do counting and networks cross?

N-grams, the closed recipe (nanoGPT's network, distilled) and the open one (an n-gram times a GPT) at three sizes of the
network and six lengths of the training, on three corpora, and the closed recipe at the work of the published one. Every
run has its own length of the schedule: a point is a training, and not a part of one. All other settings, and the
exponents of the product, are those of the exam at every size and length: no other network or length was tuned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_difference
from sutrolib.exam.entries import BASELINE, CLOSED, OPEN, Entry, Scale
from sutrolib.exam.trainings import WORK, Runs, Training, load_trainings, mean_work, run_trainings, trainings_path
from sutrolib.exam.variants import corpora
from sutrolib.measurement.measure import Measurement
from sutrolib.models.language.distilled_gpt import DistilledGPT, FadingDistillation
from sutrolib.models.language.extended_ngram import ProductOfExperts
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.problems.text import WindowedText

NGRAM, EQUAL = "n-gram", "at the published recipe's work"
CONTENT, _WORK = "frontier", "frontier-work"
_TRACED = {CLOSED: 1, f"{CLOSED}, twice": 2}  # times the updates of the closed recipe
_ORDERS = range(2, 7)
_SIZES = 0.5, 1.0, 1.5  # times the layers and the width of the baseline
_LENGTHS = 0.125, 0.25, 0.5, 1.0, 2.0, 4.0  # times the recipe's updates
SHARES = {"1/17": 1 / 17, "1/4": 1 / 4, "1": 1.0}  # of the published recipe's work
_JOIN = "; "


@dataclass(frozen=True)
class Point:
    """One model on one corpus: its losses over the seeds, and the work of its training."""

    corpus: str
    family: str
    size: str
    losses: tuple[float, ...]
    work: Mapping[str, float]

    @property
    def loss(self) -> Interval:
        """The mean with its 95 % interval, unbounded for fewer than five seeds."""
        return paired_difference(self.losses, [0.0] * len(self.losses))

    @property
    def line(self) -> tuple[str, str]:
        """The family and the size of the network, without the length of the training; n-grams are one line."""
        return self.family, "" if self.family == NGRAM else self.size.split(",")[0]


def frontier_trainings(scale: Scale, seeds: int, equal_seeds: int = 10) -> list[Training]:
    """All trainings of a scale; a seed of each model is traced. ``equal_seeds`` are those at the published work."""
    found = []
    for corpus, problem in corpora(scale).items():
        for family, size, model in _models(scale):
            entry = Entry(_JOIN.join([corpus, family, size]), model, "")
            counted = isinstance(model, KneserNey)  # nothing there depends on the seed
            found += [_training(problem, entry, seed) for seed in range(1 if counted else seeds)]
    for share, model in equal_work(scale).items():
        many = equal_seeds if share == "1" else seeds
        entry = Entry(_JOIN.join([EQUAL, share, f"{model.max_steps} updates"]), model, "")
        found += [_training(scale.problem, entry, seed) for seed in range(many)]
    return found


def run_frontier(scale: Scale, seeds: int, on_run: Any) -> Runs:
    """Run what is missing. The work of the published recipe is traced first, as lengths depend on it."""
    baseline, closed = Entry(BASELINE, scale.baseline, ""), _recipe(scale)
    traced = [_training(scale.problem, baseline, 0, updates=scale.baseline.max_steps)]
    for name, times in _TRACED.items():
        traced.append(_training(scale.problem, Entry(name, closed, ""), 0, updates=times * closed.max_steps))
    run_trainings(scale.name, _WORK, traced)
    return run_trainings(scale.name, CONTENT, frontier_trainings(scale, seeds), on_run)


def equal_work(scale: Scale) -> dict[str, DistilledGPT]:
    """The closed recipe at these shares of the published recipe's work, in whichever quantity it is less favourable.

    Raises OSError before the work was traced.
    """
    if not (path := trainings_path(scale.name, _WORK)).exists():
        raise OSError(f"{path} is not there: run the frontier, which traces it first")
    traced, recipe, found = load_trainings(scale.name, _WORK), _recipe(scale), {}
    for share, part in SHARES.items():
        lengths = []
        for reading in WORK:
            once, twice, published = (mean_work(traced[name], reading) for name in (*_TRACED, BASELINE))
            before = 2 * once - twice  # the n-gram is counted before the first update
            lengths.append(recipe.max_steps * (part * published - before) / (once - before))
        found[share] = _longer(recipe, max(1, int(min(lengths))))
    return found


def _longer(recipe: DistilledGPT, updates: int, **shape: Any) -> DistilledGPT:
    """The recipe with so many updates; with more than its own, its n-gram fades, as it has no more to teach then."""
    fields = {name: getattr(recipe, name) for name in (field.name for field in dataclasses.fields(recipe))}
    kind = FadingDistillation if updates > recipe.max_steps else type(recipe)
    return kind(**{**fields, "max_steps": updates, **shape})


def _training(problem: WindowedText, entry: Entry, seed: int, updates: int = 0) -> Training:
    return Training(problem, entry, seed, traced=0 if seed else 4, updates=updates)


def _recipe(scale: Scale) -> DistilledGPT:
    return next(e.model for e in scale.division(CLOSED) if isinstance(e.model, DistilledGPT))


def _models(scale: Scale) -> Iterator[tuple[str, str, Any]]:
    """Family, size and model of every point."""
    for order in _ORDERS:
        yield NGRAM, f"order {order}", KneserNey(order)
    yield NGRAM, "learned discounts", LeaveOneOutNGram()
    recipe = _recipe(scale)
    for factor in _SIZES:
        per_head = 2 * max(1, round(factor * recipe.width / recipe.heads / 2))  # even, as its positions are pairs
        shape: dict[str, Any] = {"layers": max(1, round(factor * recipe.layers)), "width": per_head * recipe.heads}
        for length in _LENGTHS:
            updates = max(1, round(length * recipe.max_steps))
            gpt = _longer(recipe, updates, **shape)
            size = f"{gpt.layers} x {gpt.width}, {updates} updates"
            yield CLOSED, size, gpt
            yield OPEN, size, ProductOfExperts(gpt=dataclasses.replace(gpt, distill_weight=0.0))


def points(found: Runs) -> list[Point]:
    """The points of all models whose work was traced, by the seeds that did not fail."""
    made = []
    for name, every in found.items():
        runs = [run for run in every if not run.failure]
        if any(reading.name in WORK for run in runs for reading in run.readings):  # the traced seed has been run
            losses = tuple(run.scores["loss"] for run in runs)
            losses *= MIN_PAIRS if len(every) == 1 and _is_counted(runs[0]) else 1
            corpus, family, size = name.split(_JOIN)
            made.append(Point(corpus, family, size, losses, {reading: mean_work(runs, reading) for reading in WORK}))
    return made


def _is_counted(run: Measurement) -> bool:
    return str(run.model["name"]) == KneserNey.name


def best_first(made: Sequence[Point], corpus: str, family: str) -> list[Point]:
    """The points of a family on a corpus, the lowest mean loss first."""
    return sorted((p for p in made if (p.corpus, p.family) == (corpus, family)), key=lambda p: p.loss.value)


def crossing(made: Sequence[Point], corpus: str, family: str, reading: str) -> Point | None:
    """The cheapest point of a family that is below the best n-gram with its whole interval; None if there is none."""
    best = best_first(made, corpus, NGRAM)[0]
    below = [p for p in best_first(made, corpus, family) if p.loss.high < best.loss.low]
    return min(below, key=lambda p: p.work[reading], default=None)


def undecided(made: Sequence[Point], corpus: str, family: str) -> str:
    """Why it cannot be said whether a family is better than the best n-gram, in words; empty if it can."""
    best = best_first(made, corpus, NGRAM)[0]
    better = [p for p in best_first(made, corpus, family) if p.loss.value < best.loss.value]
    few = not best.loss.bounded or any(not p.loss.bounded for p in better)
    return f"not decided: fewer than {MIN_PAIRS} seeds" if few else ""


def crossing_in_words(made: Sequence[Point], corpus: str, family: str, reading: str) -> str:
    """Where networks are better than any n-gram, in words."""
    ngram, found = best_first(made, corpus, NGRAM)[0], crossing(made, corpus, family, reading)
    if found is None and (few := undecided(made, corpus, family)):
        return few
    if found is None:
        lowest = best_first(made, corpus, family)[0].loss.value
        return f"not within reach ({lowest:.3f} against {ngram.loss.value:.3f} nats)"
    times = found.work[reading] / ngram.work[reading]
    return f"from {times:,.3g} times the work of the best n-gram on ({found.size})"
