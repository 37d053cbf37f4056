"""What a record of the final exam shows: ratios and differences over paired seeds, and the verdict on each entry.

The target is what the baseline reaches as the mean over its seeds. For costs the statistic is the mean of the
logarithms of the paired ratios, for scores that of the paired differences, each with Student's interval at 95 %
(Student, The Probable Error of a Mean, 1908): with five pairs the bootstrap's intervals are too narrow (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). An entry passes when the interval of the energy ratio
is below 1, that of the time ratio not above 1, and those of loss and accuracy not on the worse side of 0.

A training's rate falls to its own end, so wall-clock to target is that of the whole training, where the mean loss is
at the target at all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sutrolib.core.stats import difference_interval
from sutrolib.core.types import Interval
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import Record
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS, SIZE

ENERGY = ("joules", "codecarbon")  # the first that all runs have decides
TRAINING_ENERGY, TO_TARGET, LOSS, ACCURACY = "training energy", "wall-clock to target", "loss", "accuracy"
MISSED = "training time (target missed)"
BESIDE = {
    "cache-energy": "training energy, caches",
    "operations": "training operations",
    "peak_memory": "peak memory, training",
    INFERENCE + "joules": "energy of 1,000 predictions",
    INFERENCE + "codecarbon": "energy of 1,000 predictions",
    INFERENCE + "cache-energy": "energy of 1,000 predictions, caches",
    INFERENCE + "time": "time of 1,000 predictions",
    INFERENCE + "peak_memory": "peak memory, predictions",
    SIZE: "model size",
}


@dataclass(frozen=True)
class Line:
    """One quantity: the means of baseline and candidate, and their ``change`` over ``pairs`` seeds, with its kind.

    ``change`` is candidate / baseline where ``ratio``, else candidate - baseline. ``asked`` says what the verdict asks
    of it, and ``held`` whether that is so; both are empty for what only stands beside.
    """

    what: str
    unit: str
    kind: str
    baseline: float
    candidate: float
    change: Interval
    pairs: int
    ratio: bool = True
    asked: str = ""
    held: bool | None = None

    @property
    def sacrificed(self) -> bool:
        """Whether something that the verdict does not ask for has become costlier."""
        return self.held is None and self.ratio and self.change.low > 1

    def __str__(self) -> str:
        number = f"{self.change.value:{'.3g' if self.ratio else '+.4f'}}"
        if self.change.low < self.change.high:
            low, high = (f"{end:{'.3g' if self.ratio else '+.4f'}}" for end in (self.change.low, self.change.high))
            number += f" [{low}, {high}]"
        return number


@dataclass(frozen=True)
class Outcome:
    """The verdict on one entry. ``faults`` say why something could not be compared, each of which fails it."""

    entry: str
    lines: tuple[Line, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was compared and all that is asked for holds."""
        asked = [line for line in self.lines if line.held is not None]
        return not self.faults and bool(asked) and all(line.held for line in asked)

    @property
    def sacrifices(self) -> tuple[Line, ...]:
        """What stands beside and has become costlier."""
        return tuple(line for line in self.lines if line.sacrificed)

    @property
    def text(self) -> str:
        """The verdict in words, every number with its interval and its kind."""
        parts = [*self.faults]
        for line in self.lines:
            if line.held is not None:
                sort = "ratio" if line.ratio else "difference"
                state = "holds" if line.held else "does not hold"
                parts.append(f"{line.what} {sort} {line} ({line.kind}), asked is {line.asked}: {state}")
        sacrifices = [f"{line.what} {line} times ({line.kind})" for line in self.sacrifices]
        said = f"{self.entry}: {'passed' if self.passed else 'not passed'}; {'; '.join(parts)}."
        said += (
            f" Sacrificed for it: {', '.join(sacrifices)}."
            if sacrifices
            else " Nothing beside is shown to be costlier."
        )
        return " ".join([said, *self.notes])

    def line(self, what: str) -> Line | None:
        """The line of this quantity; None where it could not be compared."""
        return next((line for line in self.lines if line.what == what), None)


def outcomes(record: Record) -> list[Outcome]:
    """The verdict on every entry of a record, whether or not it is finished."""
    return [outcome(record, name) for name in record.entries]


def outcome(record: Record, entry: str) -> Outcome:
    """The verdict on one entry."""
    faults = [fault for name in (BASELINE, entry) for fault in _faults(record, name)]
    baseline, candidate = _pairs(record, entry)
    if len(baseline) < 2:
        return Outcome(entry, (), (*faults, f"{len(baseline)} pairs of trained runs, of which nothing follows"))
    energy = energy_of([*baseline, *candidate]) or None
    if energy is None:
        why = {**baseline[0].missing, **candidate[0].missing}
        faults.append(f"no joules ({'; '.join(f'{n}: {why[n]}' for n in ENERGY if n in why) or 'not in every run'})")
    lines = [*_asked(record, energy, baseline, candidate), *_beside(energy, baseline, candidate)]
    return Outcome(entry, tuple(lines), tuple(faults), _notes(energy, candidate))


def target(record: Record) -> tuple[float, float]:
    """Loss and accuracy that the baseline reaches, as means over its seeds. ValueError where it has not sat."""
    runs = [run for run in record.runs(BASELINE) if not run.failure]
    if not runs:
        raise ValueError("the baseline has not sat: there is no target yet")
    return _mean(runs, LOSS), _mean(runs, ACCURACY)


def break_even(record: Record, entry: str) -> tuple[float, str]:
    """After how many predictions the energy that an entry's training saves is spent on using it, and the kind.

    0 where it saves none, infinite where using it takes no more than using the baseline, and no number (NaN) where one
    of these energies is not there.
    """
    found = outcome(record, entry)
    training, use = found.line(TRAINING_ENERGY), found.line(BESIDE[INFERENCE + "codecarbon"])
    if training is None or use is None:
        return math.nan, "not compared"
    less, more = training.baseline - training.candidate, (use.candidate - use.baseline) / PREDICTIONS
    return (max(0.0, less / more) if more > 0 else math.inf if less > 0 else 0.0), training.kind


def energy_of(runs: Sequence[Measurement]) -> str:
    """The name of the joules that decide: the first sort that all of these have, empty where there is none."""
    return next((name for name in ENERGY if runs and _all_have(name, runs)), "")


def _faults(record: Record, name: str) -> list[str]:
    """Why what this one has sat is not the whole of it."""
    runs = record.runs(name)
    faults = [f"{name} failed on seed {run.seed} ({run.failure})" for run in runs if run.failure]
    if len(runs) < record.seeds:
        faults.append(f"{name} has sat on {len(runs)} of {record.seeds} seeds")
    return faults


def _pairs(record: Record, entry: str) -> tuple[list[Measurement], list[Measurement]]:
    """The trained runs of baseline and candidate on the seeds that both have."""
    first, second = ({run.seed: run for run in record.runs(n) if not run.failure} for n in (BASELINE, entry))
    both = sorted(first.keys() & second.keys())
    return [first[seed] for seed in both], [second[seed] for seed in both]


def _asked(
    record: Record, energy: str | None, baseline: Sequence[Measurement], candidate: Sequence[Measurement]
) -> list[Line]:
    loss, accuracy = (_difference(name, baseline, candidate) for name in (LOSS, ACCURACY))
    there = _mean(candidate, LOSS) <= target(record)[0]
    time = _ratio("time", TO_TARGET if there else MISSED, baseline, candidate)
    lines = [
        _judged(time, "at most 1", there and time.change.high <= 1),
        _judged(loss, "not above 0", loss.change.high <= 0),
        _judged(accuracy, "not below 0", accuracy.change.low >= 0),
    ]
    if energy is not None:
        ratio = _ratio(energy, TRAINING_ENERGY, baseline, candidate)
        lines.insert(0, _judged(ratio, "below 1", ratio.change.high < 1))
    return lines


def _beside(energy: str | None, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> list[Line]:
    """What is shown and not asked for: other readings of the training's energy, and what using the model costs."""
    others = {name: f"{TRAINING_ENERGY}, {name}" for name in ENERGY if name != energy}
    lines = []
    for name, what in (others | BESIDE).items():
        pairs = [(b, c) for b, c in zip(baseline, candidate, strict=True) if _all_have(name, [b], [c])]
        decided_elsewhere = name.removeprefix(INFERENCE) in ENERGY and name.startswith(INFERENCE)
        if pairs and not (decided_elsewhere and energy and name != INFERENCE + energy):
            lines.append(_ratio(name, what, *zip(*pairs, strict=True)))
    return lines


def _notes(energy: str | None, candidate: Sequence[Measurement]) -> tuple[str, ...]:
    """What a reader of the joules must know: which part of the machine no counter covers."""
    if energy is None:
        return ()
    uncovered = candidate[0].reading(energy).detail.get("not_covered") or {}
    return (f"The {energy} do not cover: {'; '.join(f'{part} ({why})' for part, why in uncovered.items())}.",) * bool(
        uncovered
    )


def _judged(line: Line, asked: str, held: bool) -> Line:
    return Line(**{**vars(line), "asked": asked, "held": held})


def _ratio(name: str, what: str, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> Line:
    pairs = [(b.reading(name), c.reading(name)) for b, c in zip(baseline, candidate, strict=True)]
    kinds = sorted({str(reading.kind) for pair in pairs for reading in pair})
    firsts, seconds = zip(*((b.value, c.value) for b, c in pairs), strict=True)
    logs = student([math.log(b) for b in firsts], [math.log(c) for c in seconds])
    change = Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))
    unit = pairs[0][0].unit
    means = statistics.fmean(firsts), statistics.fmean(seconds)
    return Line(what, "" if unit == name else unit, " and ".join(kinds), *means, change, len(pairs))


def _difference(name: str, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> Line:
    change = student([run.scores[name] for run in baseline], [run.scores[name] for run in candidate])
    unit = "nats" if name == LOSS else ""
    return Line(
        name, unit, "counted", _mean(baseline, name), _mean(candidate, name), change, len(baseline), ratio=False
    )


def student(baseline: Sequence[float], candidate: Sequence[float]) -> Interval:
    """The mean of candidate - baseline with Student's interval at 95 %; where all pairs agree exactly, the mean alone.

    So it is where nothing depends on a seed (the size of a model), and where there is one pair.
    """
    gaps = np.subtract(candidate, baseline)
    if np.ptp(gaps) == 0:
        return Interval(float(gaps[0]), float(gaps[0]), float(gaps[0]))
    return difference_interval(np.asarray(candidate, float), np.asarray(baseline, float))


def _all_have(name: str, *groups: Sequence[Measurement]) -> bool:
    return all(any(reading.name == name for reading in run.readings) for runs in groups for run in runs)


def _mean(runs: Sequence[Measurement], name: str) -> float:
    return statistics.fmean(run.scores[name] for run in runs)
