"""The verdict on each entry of a final exam, and its table: ratios and differences over paired seeds.

The target is the baseline's mean over its seeds. Costs are compared by paired ratios, scores by paired differences,
each with its 95 % interval (:mod:`sutrolib.core.stats`). An entry passes if the interval of the energy ratio is below
1, that of the time ratio not above 1, and those of loss and accuracy not on the worse side of 0; if operations and
modelled cache energy are below 1; and if, in the open division, energy and time of 1,000 predictions are at most 1.1
times the baseline's (the closed one has the same network). If nothing shows that it does not pass, but not everything
could be compared (missing runs, a busy machine), the verdict is ``not decided``. Estimated energy that only tells the
time (:mod:`sutrolib.measurement.comparison`) is no criterion: the time ratio must be below 1 in its place. The least
favourable cost of training is named.

Where a record's trainings end at a target loss, the entry must have reached it on every seed, and costs are those up to
there. A baseline that missed it is charged for its whole training, less than the target would have cost it, and is
named. Otherwise the learning rate decays to the end, so the time to target is that of the whole training.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sutrolib.exam.entries import BASELINE, CLOSED, TUNED
from sutrolib.exam.record import ExamRecord
from sutrolib.exam.verdict_line import Pairs, VerdictLine, comparison_cells, difference_line, has_reading, ratio_line
from sutrolib.measurement.comparison import is_clock, undecided
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS, SIZE, UPDATES
from sutrolib.problems.text_evaluation import NANOGPT_LOSS

JOULES = ("joules", "codecarbon")  # the first that all runs have decides
TRAINING_ENERGY, TO_TARGET, LOSS, ACCURACY = "training energy", "wall-clock time to target", "loss", "accuracy"
MISSED = "training time (target missed)"
OTHER_COSTS = {
    UPDATES: "updates",
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
_WORK = "operations", "cache-energy"
_MAX_USE = 1.1  # times the baseline's cost of predictions
COSTLIER_USE = "passed in training, costs more in use"


@dataclass(frozen=True)
class EntryVerdict:
    """The verdict on one entry. ``errors`` say why something could not be compared; with one of them it does not pass.

    ``failed``: the entry itself failed on a seed. ``baseline`` is what it is compared with.
    """

    entry: str
    lines: tuple[VerdictLine, ...]
    errors: tuple[str, ...]
    notes: tuple[str, ...] = ()
    failed: bool = False
    baseline: str = BASELINE

    @property
    def title(self) -> str:
        """The entry, and what it is compared with unless that is the published recipe."""
        return self.entry + f" / {self.baseline}" * (self.baseline != BASELINE)

    @property
    def passed(self) -> bool:
        """Whether everything was compared and every criterion is met."""
        return self.state == "passed"

    @property
    def state(self) -> str:
        """``passed``, ``not passed``, COSTLIER_USE, or ``not decided`` if nothing shows that it does not pass."""
        training, use = ([line for line in self.criteria if bool(line.bound) == used] for used in (False, True))
        if self.failed or any(line.state == "not met" for line in training):
            return "not passed"
        if self.errors or not training or not all(line.met for line in training):
            return "not decided"
        if any(line.state == "not met" for line in use):
            return COSTLIER_USE
        return "passed" if all(line.met for line in use) else "not decided"

    @property
    def break_even(self) -> tuple[float, str]:
        """The number of predictions whose extra energy equals the energy saved in training, and that energy's kind.

        0 if training saves none, infinite if predictions cost no more than the baseline's, NaN if an energy is missing.
        """
        training = self.energy
        inference = next((found for name in JOULES if (found := self.line(OTHER_COSTS[INFERENCE + name]))), None)
        if training is None or inference is None:
            return math.nan, "not compared"
        if why := undecided(training.change) or undecided(inference.change):
            return math.nan, why
        saved, extra = training.baseline - training.candidate, (inference.candidate - inference.baseline) / PREDICTIONS
        return (max(0.0, saved / extra) if extra > 0 else math.inf if saved > 0 else 0.0), training.kind

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
        return " ".join([f"{self.title}: {self.state}; {'; '.join(parts)}.", self._side_costs_text(), *self.notes])

    @property
    def main_lines(self) -> tuple[VerdictLine, ...]:
        """The criteria, and the energy of training."""
        return tuple(line for line in self.lines if line.criterion or line.quantity == TRAINING_ENERGY)

    @property
    def least_favourable(self) -> VerdictLine | None:
        """The highest ratio of training's time, operations, cache energy, and energy if it is more than a clock."""
        costs = (line for line in self.main_lines if line.ratio and not line.bound and not is_clock(line.change))
        decided = [line for line in costs if line.pairs == 1 or not undecided(line.change)]
        return max(decided, key=lambda line: line.change.value, default=None)

    def _side_costs_text(self) -> str:
        if costs := ", ".join(f"{line.quantity} {line} times ({line.kind})" for line in self.side_costs):
            return f"At the cost of: {costs}."
        return "No other cost is higher." if self.side_costs_compared else "The other costs are not decided."

    @property
    def side_costs_compared(self) -> bool:
        """Whether there are costs without a criterion, and all of them could be compared."""
        others = [line for line in self.lines if line.met is None and line.ratio]
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
    """The verdict on every entry of a record, finished or not; against the tuned baseline too where there is one."""
    found = [verdict_of(record, name) for name in record.entries]
    others = [name for name in record.entries if name != TUNED] if TUNED in record.entries else []
    return [*found, *(verdict_of(record, name, TUNED) for name in others)]


def verdict_of(record: ExamRecord, entry: str, baseline: str = BASELINE) -> EntryVerdict:
    """The verdict on one entry."""
    errors = []
    for name in (baseline, entry):
        runs = record.runs(name)
        errors += [f"{name} failed on seed {run.seed} ({run.failure})" for run in runs if run.failure]
        if len(runs) < record.seeds:
            errors.append(f"{name} has {len(runs)} of {record.seeds} runs")
    first, second = record.trained(baseline), record.trained(entry)
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    failed = any(run.failure for run in record.runs(entry))
    if len(pairs) < 2:
        errors.append(f"cannot compare: {len(pairs)} pairs of successful runs")
        return EntryVerdict(entry, (), tuple(errors), failed=failed, baseline=baseline)
    energy, why = energy_meter([run for pair in pairs for run in pair]), {**pairs[0][0].missing, **pairs[0][1].missing}
    if not energy:
        errors.append(f"no joules ({'; '.join(f'{n}: {why[n]}' for n in JOULES if n in why) or 'not in every run'})")
    to_target = bool(record.evaluations)
    loss = record.problem["target_loss"] if to_target else target(record, baseline)[0]
    criteria = _criteria(energy, pairs, loss, to_target)
    if record.division != CLOSED:
        criteria += _use(energy, pairs)
    compared = {line.quantity for line in criteria}
    errors += [f"no {name} ({why.get(name, 'not traced')})" for name in _WORK if OTHER_COSTS[name] not in compared]
    in_windows = all(NANOGPT_LOSS in run.scores for pair in pairs for run in pair)
    losses = [difference_line(NANOGPT_LOSS, "nats", pairs)] if in_windows else []
    if to_target:
        losses.append(difference_line(ACCURACY, "", pairs))
    lines = (*criteria, *losses, *_other_costs(energy, pairs, criteria))
    missing = pairs[0][1].reading(energy).detail.get("not_covered", {}) if energy else {}
    parts = "; ".join(f"{part} ({why})" for part, why in missing.items())
    notes = [f"The {energy} do not cover: {parts}."] if parts else []
    if to_target and (missed := [run.seed for run, _ in pairs if run.scores[LOSS] > loss]):
        seeds = f"{len(missed)} of {len(pairs)} seeds ({', '.join(map(str, missed))})"
        notes.append(f"The {baseline} missed the target on {seeds}: its costs there are those of its whole training.")
    found = EntryVerdict(entry, lines, tuple(errors), tuple(notes), failed, baseline)
    if found.state != COSTLIER_USE:
        return found
    count, kind = found.break_even
    return dataclasses.replace(found, notes=(*notes, f"It pays up to {count:,.3g} predictions ({kind} energy)."))


def target(record: ExamRecord, baseline: str = BASELINE) -> tuple[float, float]:
    """The baseline's loss and accuracy, as means over its seeds. Raises ValueError if it has no run yet."""
    runs = record.trained(baseline).values()
    if not runs:
        raise ValueError(f"there is no target yet: the {baseline} has no successful run")
    loss, accuracy = (statistics.fmean(run.scores[name] for run in runs) for name in (LOSS, ACCURACY))
    return loss, accuracy


def energy_meter(runs: Sequence[Measurement]) -> str:
    """The name of the joule reading that decides: the first that all runs have, or empty."""
    return next((name for name in JOULES if runs and all(has_reading(run, name) for run in runs)), "")


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
            rows.append([verdict.title, *comparison_cells(line), str(line.pairs), required])
    return ["entry", "quantity", "kind", "baseline", "candidate", "change (95 %)", "pairs", "required"], rows


def _criteria(energy: str, pairs: Pairs, target_loss: float, to_target: bool) -> list[VerdictLine]:
    loss, accuracy = difference_line(LOSS, "nats", pairs), difference_line(ACCURACY, "", pairs)
    reached = loss.candidate <= target_loss
    scores = [(loss, "not above 0", loss.change.high <= 0), (accuracy, "not below 0", accuracy.change.low >= 0)]
    if to_target:
        reached = all(run.scores[LOSS] <= target_loss for _, run in pairs)
        scores = [(loss, f"at most {target_loss:g} on every seed", reached)]
    time = ratio_line("time", TO_TARGET if reached else MISSED, pairs)
    joules = [ratio_line(energy, TRAINING_ENERGY, pairs)] if energy else []
    clock = any(is_clock(line.change) for line in joules)
    found = [
        *((line, "below 1", line.high < 1) for line in joules if not clock),
        (time, "below 1", reached and time.high < 1) if clock else (time, "at most 1", reached and time.high <= 1),
        *((line, "below 1", line.high < 1) for line in _lines(_WORK, pairs)),
        *scores,
    ]
    criteria = [dataclasses.replace(line, criterion=criterion, met=met) for line, criterion, met in found]
    return [*(joules if clock else ()), *criteria]


def _use(energy: str, pairs: Pairs) -> list[VerdictLine]:
    """Energy and time of predictions. In the closed division they are those of the same network, by its rule."""
    use = [line for line in _lines((INFERENCE + energy, INFERENCE + "time"), pairs) if not is_clock(line.change)]
    asked = f"at most {_MAX_USE}"
    return [dataclasses.replace(u, criterion=asked, met=u.high <= _MAX_USE, bound=_MAX_USE) for u in use]


def _lines(names: Iterable[str], pairs: Pairs) -> list[VerdictLine]:
    """The lines of those of the other costs that there are readings of."""
    found = []
    for name in names:
        if both := [(b, c) for b, c in pairs if has_reading(b, name) and has_reading(c, name)]:
            found.append(ratio_line(name, OTHER_COSTS[name], both))
    return found


def _other_costs(energy: str, pairs: Pairs, criteria: Sequence[VerdictLine]) -> list[VerdictLine]:
    """Costs without a criterion: other readings of the training energy, and the cost of inference."""
    others = {name: f"{TRAINING_ENERGY}, {name}" for name in JOULES if name != energy}
    # The meter that decides for training decides for inference too.
    names = [name for name in OTHER_COSTS if not energy or name not in {INFERENCE + other for other in others}]
    training = [
        ratio_line(name, quantity, both)
        for name, quantity in others.items()
        if (both := [(b, c) for b, c in pairs if has_reading(b, name) and has_reading(c, name)])
    ]
    asked = {line.quantity for line in criteria}
    return [line for line in (*training, *_lines(names, pairs)) if line.quantity not in asked]
