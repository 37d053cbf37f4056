"""The verdict on each entry of a final exam, and its table: ratios and differences over paired seeds.

The target is the baseline's mean over its seeds. Costs are compared by paired ratios, scores by paired differences,
each with its 95 % interval (:mod:`sutrolib.core.stats`). An entry passes if the interval of the energy ratio is below
1, that of the time ratio not above 1, and those of loss and accuracy not on the worse side of 0. If nothing shows that
it does not pass, but not everything could be compared (missing runs, a busy machine), the verdict is ``not decided``.
Estimated energy that only tells the time (:mod:`sutrolib.measurement.comparison`) is no criterion: the time ratio must
be below 1 in its place. Operations and modelled cache energy stand beside it; the least favourable is named.

The learning rate decays to the end, so the time to target is that of the whole training, if the target is reached.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sutrolib.core.format import amount
from sutrolib.core.stats import Interval, paired_difference
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import ExamRecord
from sutrolib.measurement.comparison import BusyRatio, EstimatedRatio, is_clock, kinds_of, ratio_of_readings, undecided
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS, SIZE

JOULES = ("joules", "codecarbon")  # the first that all runs have decides
TRAINING_ENERGY, TO_TARGET, LOSS, ACCURACY = "training energy", "wall-clock time to target", "loss", "accuracy"
MISSED = "training time (target missed)"
OTHER_COSTS = {
    "cache-energy": "cache energy of training",
    "operations": "training operations",
    "peak_memory": "peak memory of training",
    INFERENCE + "joules": "energy of 1,000 predictions",
    INFERENCE + "codecarbon": "energy of 1,000 predictions",
    INFERENCE + "cache-energy": "cache energy of 1,000 predictions",
    INFERENCE + "time": "time of 1,000 predictions",
    INFERENCE + "peak_memory": "peak memory of inference",
    "validation-time": "time to predict the validation text",
    SIZE: "model size",
}
_BESIDE = TRAINING_ENERGY, OTHER_COSTS["operations"], OTHER_COSTS["cache-energy"]
_Pairs = Sequence[tuple[Measurement, Measurement]]  # baseline and candidate, by seed


@dataclass(frozen=True)
class VerdictLine:
    """One quantity: the means of baseline and candidate, and their ``change`` over ``pairs`` seeds, with its kind.

    ``change`` is candidate / baseline if ``ratio``, else candidate - baseline. ``criterion`` is what the verdict
    requires of it, and ``met`` whether that holds; a cost without a criterion has ``met=None``.
    """

    quantity: str
    unit: str
    kind: str
    baseline: float
    candidate: float
    change: Interval
    pairs: int
    ratio: bool = True
    criterion: str = ""
    met: bool | None = None

    @property
    def costlier(self) -> bool:
        """Whether this is a cost without a criterion that has risen. (A single pair is a count: its value decides.)"""
        low = self.change.low if self.pairs > 1 else self.change.value
        return self.met is None and self.ratio and low > 1

    @property
    def kind_and_power(self) -> str:
        """The kind; of an estimate also the mean power."""
        return f"{self.kind}, {self.change.power}" if isinstance(self.change, EstimatedRatio) else self.kind

    @property
    def state(self) -> str:
        """``met``, ``not met``, or ``not decided: ...`` with the reason; empty without a criterion."""
        return "" if self.met is None else "met" if self.met else undecided(self.change) or "not met"

    def __str__(self) -> str:
        form = ".3g" if self.ratio else "+.4f"
        value, low, high = (f"{number:{form}}" for number in (self.change.value, self.change.low, self.change.high))
        if isinstance(self.change, BusyRatio):
            return f"{value} (busy: load {self.change.load:.2f})"
        return f"{value} [{low}, {high}]" if self.change.bounded and self.change.low < self.change.high else value


@dataclass(frozen=True)
class EntryVerdict:
    """The verdict on one entry. ``errors`` say why something could not be compared; with one of them it does not pass.

    ``failed``: the entry itself failed on a seed.
    """

    entry: str
    lines: tuple[VerdictLine, ...]
    errors: tuple[str, ...]
    notes: tuple[str, ...] = ()
    failed: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything was compared and every criterion is met."""
        return not self.errors and bool(self.criteria) and all(line.met for line in self.criteria)

    @property
    def state(self) -> str:
        """``passed``, ``not passed``, or ``not decided`` if nothing shows that it does not pass."""
        if self.passed:
            return "passed"
        return "not passed" if self.failed or any(line.state == "not met" for line in self.criteria) else "not decided"

    @property
    def criteria(self) -> tuple[VerdictLine, ...]:
        """The quantities that the verdict has a criterion for."""
        return tuple(line for line in self.lines if line.met is not None)

    @property
    def side_costs(self) -> tuple[VerdictLine, ...]:
        """The costs without a criterion that have risen."""
        return tuple(line for line in self.lines if line.costlier)

    @property
    def text(self) -> str:
        """The verdict in words, every number with its interval and its kind."""
        parts = [*self.errors]
        for line in self.main_lines:
            form = "ratio" if line.ratio else "difference"
            required = f", required {line.criterion}: {line.state}" if line.criterion else ""
            parts.append(f"{line.quantity} {form} {line} ({line.kind_and_power}){required}")
        if worst := self.least_favourable:
            parts.append(f"least favourable of these costs: {worst.quantity}")
        return " ".join([f"{self.entry}: {self.state}; {'; '.join(parts)}.", self._side_costs_text(), *self.notes])

    @property
    def main_lines(self) -> tuple[VerdictLine, ...]:
        """The criteria, and the costs of training that stand beside them."""
        return tuple(line for line in self.lines if line.criterion or line.quantity in _BESIDE)

    @property
    def least_favourable(self) -> VerdictLine | None:
        """The highest ratio of training's time, operations, cache energy, and energy if it is more than a clock."""
        costs = (line for line in self.main_lines if line.ratio and not is_clock(line.change))
        decided = [line for line in costs if line.pairs == 1 or not undecided(line.change)]
        return max(decided, key=lambda line: line.change.value, default=None)

    def _side_costs_text(self) -> str:
        if costs := ", ".join(f"{line.quantity} {line} times ({line.kind})" for line in self.side_costs):
            return f"At the cost of: {costs}."
        return "No other cost is higher." if self.side_costs_compared else "The other costs are not decided."

    @property
    def side_costs_compared(self) -> bool:
        """Whether there are costs without a criterion, and all of them could be compared."""
        others = [line for line in self.lines if line.met is None]
        return bool(others) and not any(undecided(line.change) and line.pairs > 1 for line in others)

    @property
    def energy(self) -> VerdictLine | None:
        """The training energy."""
        return self.line(TRAINING_ENERGY)

    @property
    def time(self) -> VerdictLine | None:
        """The training time, whether or not the target was reached."""
        return self.line(TO_TARGET) or self.line(MISSED)

    def line(self, quantity: str) -> VerdictLine | None:
        """The line of this quantity; None if it could not be compared."""
        return next((line for line in self.lines if line.quantity == quantity), None)


def verdicts(record: ExamRecord) -> list[EntryVerdict]:
    """The verdict on every entry of a record, finished or not."""
    return [verdict_of(record, name) for name in record.entries]


def verdict_of(record: ExamRecord, entry: str) -> EntryVerdict:
    """The verdict on one entry."""
    errors = []
    for name in (BASELINE, entry):
        runs = record.runs(name)
        errors += [f"{name} failed on seed {run.seed} ({run.failure})" for run in runs if run.failure]
        if len(runs) < record.seeds:
            errors.append(f"{name} has {len(runs)} of {record.seeds} runs")
    first, second = record.trained(BASELINE), record.trained(entry)
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    failed = any(run.failure for run in record.runs(entry))
    if len(pairs) < 2:
        errors.append(f"cannot compare: {len(pairs)} pairs of successful runs")
        return EntryVerdict(entry, (), tuple(errors), failed=failed)
    energy = energy_meter([run for pair in pairs for run in pair])
    if not energy:
        why = {**pairs[0][0].missing, **pairs[0][1].missing}
        errors.append(f"no joules ({'; '.join(f'{n}: {why[n]}' for n in JOULES if n in why) or 'not in every run'})")
    lines = (*_criteria(energy, pairs, target(record)[0]), *_other_costs(energy, pairs))
    missing = pairs[0][1].reading(energy).detail.get("not_covered", {}) if energy else {}
    parts = "; ".join(f"{part} ({why})" for part, why in missing.items())
    return EntryVerdict(entry, lines, tuple(errors), (f"The {energy} do not cover: {parts}.",) * bool(parts), failed)


def target(record: ExamRecord) -> tuple[float, float]:
    """The baseline's loss and accuracy, as means over its seeds. Raises ValueError if it has no run yet."""
    runs = record.trained(BASELINE).values()
    if not runs:
        raise ValueError("there is no target yet: the baseline has no successful run")
    loss, accuracy = (statistics.fmean(run.scores[name] for run in runs) for name in (LOSS, ACCURACY))
    return loss, accuracy


def break_even_predictions(record: ExamRecord, entry: str) -> tuple[float, str]:
    """The number of predictions whose extra energy equals the energy saved in training, and the kind of that energy.

    0 if training saves none, infinite if predictions cost no more than the baseline's, NaN if an energy is missing.
    """
    found = verdict_of(record, entry)
    training, inference = found.energy, found.line(OTHER_COSTS[INFERENCE + "codecarbon"])
    if training is None or inference is None:
        return math.nan, "not compared"
    if why := undecided(training.change) or undecided(inference.change):
        return math.nan, why
    saved, extra = training.baseline - training.candidate, (inference.candidate - inference.baseline) / PREDICTIONS
    return (max(0.0, saved / extra) if extra > 0 else math.inf if saved > 0 else 0.0), training.kind


def energy_meter(runs: Sequence[Measurement]) -> str:
    """The name of the joule reading that decides: the first that all runs have, or empty."""
    return next((name for name in JOULES if runs and all(_has(run, name) for run in runs)), "")


def table(record: ExamRecord) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every quantity of every entry. A change marked ``x`` is candidate / baseline, else a difference.

    The last column says what the verdict requires, and whether that holds; or that another cost is higher.
    """
    rows = []
    for verdict in verdicts(record):
        for line in verdict.lines:
            required = "higher" if line.costlier else ""
            if line.criterion:
                shown = {"met": "yes", "not met": "NO"}
                required = f"{line.criterion}: {shown.get(line.state, line.state)}"
            rows.append([verdict.entry, *comparison_cells(line), str(line.pairs), required])
    return ["entry", "quantity", "kind", "baseline", "candidate", "change (95 %)", "pairs", "required"], rows


def comparison_cells(line: VerdictLine) -> tuple[str, ...]:
    """Quantity, kind, baseline, candidate and change, as text."""
    values = amount(line.baseline, line.unit), amount(line.candidate, line.unit)
    return line.quantity, line.kind_and_power, *values, f"x {line}" if line.ratio else str(line)


def _criteria(energy: str, pairs: _Pairs, target_loss: float) -> list[VerdictLine]:
    loss, accuracy = _difference(LOSS, "nats", pairs), _difference(ACCURACY, "", pairs)
    reached = loss.candidate <= target_loss
    time = _ratio("time", TO_TARGET if reached else MISSED, pairs)
    joules = [_ratio(energy, TRAINING_ENERGY, pairs)] if energy else []
    clock, high = any(is_clock(line.change) for line in joules), time.change.high
    found = [
        *((line, "below 1", line.change.high < 1) for line in joules if not clock),
        (time, "below 1", reached and high < 1) if clock else (time, "at most 1", reached and high <= 1),
        (loss, "not above 0", loss.change.high <= 0),
        (accuracy, "not below 0", accuracy.change.low >= 0),
    ]
    criteria = [dataclasses.replace(line, criterion=criterion, met=met) for line, criterion, met in found]
    return [*joules, *criteria] if clock else criteria


def _other_costs(energy: str, pairs: _Pairs) -> Iterator[VerdictLine]:
    """Costs without a criterion: other readings of the training energy, and the cost of inference."""
    others = {name: f"{TRAINING_ENERGY}, {name}" for name in JOULES if name != energy}
    for name, quantity in (others | OTHER_COSTS).items():
        if energy and name in {INFERENCE + other for other in others}:
            continue  # the meter that decides for training decides for inference too
        if both := [(b, c) for b, c in pairs if _has(b, name) and _has(c, name)]:
            yield _ratio(name, quantity, both)


def _ratio(name: str, quantity: str, pairs: _Pairs) -> VerdictLine:
    readings = [(b.reading(name), c.reading(name)) for b, c in pairs]
    kinds = kinds_of([reading for pair in readings for reading in pair])
    baseline, candidate = zip(*((b.value, c.value) for b, c in readings), strict=True)
    unit = "" if readings[0][0].unit == name else readings[0][0].unit
    means = statistics.fmean(baseline), statistics.fmean(candidate)
    change = ratio_of_readings([c for _, c in readings], [b for b, _ in readings])
    return VerdictLine(quantity, unit, kinds, *means, change, len(pairs))


def _difference(name: str, unit: str, pairs: _Pairs) -> VerdictLine:
    baseline, candidate = zip(*((b.scores[name], c.scores[name]) for b, c in pairs), strict=True)
    means = statistics.fmean(baseline), statistics.fmean(candidate)
    change = paired_difference(candidate, baseline)
    return VerdictLine(name, unit, "counted", *means, change, len(pairs), ratio=False)


def _has(run: Measurement, name: str) -> bool:
    return any(reading.name == name for reading in run.readings)
