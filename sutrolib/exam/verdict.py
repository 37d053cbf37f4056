"""What a record of the final exam shows: ratios and differences over paired seeds, and the verdict on each entry.

The target is what the baseline reaches as the mean over its seeds. Costs are compared by their paired ratios, scores by
their paired differences, each with its 95 % interval (:mod:`sutrolib.core.stats`). An entry passes when the interval
of the energy ratio is below 1, that of the time ratio not above 1, and those of loss and accuracy not on the worse side
of 0.

A training's rate falls to its own end, so wall-clock to target is that of the whole training, where the mean loss is
at the target at all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sutrolib.core.stats import Interval, paired_difference, paired_ratio
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import ExamRecord
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS, SIZE

ENERGY = ("joules", "codecarbon")  # the first that all runs have decides
TRAINING_ENERGY, TO_TARGET, LOSS, ACCURACY = "training energy", "wall-clock to target", "loss", "accuracy"
MISSED = "training time (target missed)"
OTHER_COSTS = {
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
class VerdictLine:
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
    def costlier(self) -> bool:
        """Whether something that the verdict does not ask for has become costlier."""
        return self.held is None and self.ratio and self.change.low > 1

    def __str__(self) -> str:
        number = f"{self.change.value:{'.3g' if self.ratio else '+.4f'}}"
        if self.change.bounded and self.change.low < self.change.high:
            low, high = (f"{end:{'.3g' if self.ratio else '+.4f'}}" for end in (self.change.low, self.change.high))
            number += f" [{low}, {high}]"
        return number


@dataclass(frozen=True)
class EntryVerdict:
    """The verdict on one entry. ``faults`` say why something could not be compared, each of which fails it."""

    entry: str
    lines: tuple[VerdictLine, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was compared and all that is asked for holds."""
        asked = [line for line in self.lines if line.held is not None]
        return not self.faults and bool(asked) and all(line.held for line in asked)

    @property
    def side_costs(self) -> tuple[VerdictLine, ...]:
        """What stands beside and has become costlier."""
        return tuple(line for line in self.lines if line.costlier)

    @property
    def text(self) -> str:
        """The verdict in words, every number with its interval and its kind."""
        parts = [*self.faults]
        for line in self.lines:
            if line.held is not None:
                sort = "ratio" if line.ratio else "difference"
                state = "holds" if line.held else "does not hold"
                parts.append(f"{line.what} {sort} {line} ({line.kind}), asked is {line.asked}: {state}")
        side_costs = [f"{line.what} {line} times ({line.kind})" for line in self.side_costs]
        said = f"{self.entry}: {'passed' if self.passed else 'not passed'}; {'; '.join(parts)}."
        said += (
            f" Sacrificed for it: {', '.join(side_costs)}."
            if side_costs
            else " Nothing beside is shown to be costlier."
        )
        return " ".join([said, *self.notes])

    def line(self, what: str) -> VerdictLine | None:
        """The line of this quantity; None where it could not be compared."""
        return next((line for line in self.lines if line.what == what), None)


def verdicts(record: ExamRecord) -> list[EntryVerdict]:
    """The verdict on every entry of a record, whether or not it is finished."""
    return [verdict_of(record, name) for name in record.entries]


def verdict_of(record: ExamRecord, entry: str) -> EntryVerdict:
    """The verdict on one entry."""
    faults = [fault for name in (BASELINE, entry) for fault in _faults(record, name)]
    baseline, candidate = _pairs(record, entry)
    if len(baseline) < 2:
        return EntryVerdict(entry, (), (*faults, f"{len(baseline)} pairs of trained runs, of which nothing follows"))
    energy = energy_of([*baseline, *candidate]) or None
    if energy is None:
        why = {**baseline[0].missing, **candidate[0].missing}
        faults.append(f"no joules ({'; '.join(f'{n}: {why[n]}' for n in ENERGY if n in why) or 'not in every run'})")
    lines = [*_asked(record, energy, baseline, candidate), *_beside(energy, baseline, candidate)]
    return EntryVerdict(entry, tuple(lines), tuple(faults), _notes(energy, candidate))


def target(record: ExamRecord) -> tuple[float, float]:
    """Loss and accuracy that the baseline reaches, as means over its seeds. ValueError where it has not sat."""
    runs = [run for run in record.runs(BASELINE) if not run.failure]
    if not runs:
        raise ValueError("the baseline has not sat: there is no target yet")
    return _mean(runs, LOSS), _mean(runs, ACCURACY)


def break_even_predictions(record: ExamRecord, entry: str) -> tuple[float, str]:
    """After how many predictions the energy that an entry's training saves is spent on using it, and the kind.

    0 where it saves none, infinite where using it takes no more than using the baseline, and no number (NaN) where one
    of these energies is not there.
    """
    found = verdict_of(record, entry)
    training, use = found.line(TRAINING_ENERGY), found.line(OTHER_COSTS[INFERENCE + "codecarbon"])
    if training is None or use is None:
        return math.nan, "not compared"
    less, more = training.baseline - training.candidate, (use.candidate - use.baseline) / PREDICTIONS
    return (max(0.0, less / more) if more > 0 else math.inf if less > 0 else 0.0), training.kind


def energy_of(runs: Sequence[Measurement]) -> str:
    """The name of the joules that decide: the first sort that all of these have, empty where there is none."""
    return next((name for name in ENERGY if runs and _all_have(name, runs)), "")


def _faults(record: ExamRecord, name: str) -> list[str]:
    """Why what this one has sat is not the whole of it."""
    runs = record.runs(name)
    faults = [f"{name} failed on seed {run.seed} ({run.failure})" for run in runs if run.failure]
    if len(runs) < record.seeds:
        faults.append(f"{name} has sat on {len(runs)} of {record.seeds} seeds")
    return faults


def _pairs(record: ExamRecord, entry: str) -> tuple[list[Measurement], list[Measurement]]:
    """The trained runs of baseline and candidate on the seeds that both have."""
    first, second = ({run.seed: run for run in record.runs(n) if not run.failure} for n in (BASELINE, entry))
    both = sorted(first.keys() & second.keys())
    return [first[seed] for seed in both], [second[seed] for seed in both]


def _asked(
    record: ExamRecord, energy: str | None, baseline: Sequence[Measurement], candidate: Sequence[Measurement]
) -> list[VerdictLine]:
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


def _beside(energy: str | None, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> list[VerdictLine]:
    """What is shown and not asked for: other readings of the training's energy, and what using the model costs."""
    others = {name: f"{TRAINING_ENERGY}, {name}" for name in ENERGY if name != energy}
    lines = []
    for name, what in (others | OTHER_COSTS).items():
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


def _judged(line: VerdictLine, asked: str, held: bool) -> VerdictLine:
    return VerdictLine(**{**vars(line), "asked": asked, "held": held})


def _ratio(name: str, what: str, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> VerdictLine:
    pairs = [(b.reading(name), c.reading(name)) for b, c in zip(baseline, candidate, strict=True)]
    kinds = sorted({str(reading.kind) for pair in pairs for reading in pair})
    firsts, seconds = zip(*((b.value, c.value) for b, c in pairs), strict=True)
    change = paired_ratio(seconds, firsts)
    if len(set(change.points)) == 1:  # counted once, or the same on every seed
        change = Interval(*change.points[:1] * 3, change.points)
    unit = pairs[0][0].unit
    means = statistics.fmean(firsts), statistics.fmean(seconds)
    return VerdictLine(what, "" if unit == name else unit, " and ".join(kinds), *means, change, len(pairs))


def _difference(name: str, baseline: Sequence[Measurement], candidate: Sequence[Measurement]) -> VerdictLine:
    change = paired_difference([run.scores[name] for run in candidate], [run.scores[name] for run in baseline])
    unit = "nats" if name == LOSS else ""
    return VerdictLine(
        name, unit, "counted", _mean(baseline, name), _mean(candidate, name), change, len(baseline), ratio=False
    )


def _all_have(name: str, *groups: Sequence[Measurement]) -> bool:
    return all(any(reading.name == name for reading in run.readings) for runs in groups for run in runs)


def _mean(runs: Sequence[Measurement], name: str) -> float:
    return statistics.fmean(run.scores[name] for run in runs)
