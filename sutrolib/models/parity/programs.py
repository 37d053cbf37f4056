"""Programs that find the secret of a sparse parity, number by number: a space to search for little data movement.

Each program is plain Python over lists of signs, so that a meter of such programs (``ProgramMeter``) can price every
number that it reads. Its parts are fields: what a search finds is a setting of them. The families:

* ``gf2 bits``: Gaussian elimination modulo 2, equation by equation as they are read, a sign a number;
* ``gf2 rows``: the same with an equation in one word, packed by operators that are priced as all others;
* ``fourier``: for each subset the sum of label times product over the samples, or up to the first contradiction
  (``reject``); O'Donnell, Analysis of Boolean Functions, 2014, chapter 1;
* ``match``: columns of samples packed into words, and subsets whose words match the label's. Where k - 1 bits are
  chosen the last one follows (``backtracking``): a comparison, or a look into a word used as a set;
* ``eliminate``: sample by sample, keeping the subsets that no sample contradicts.

The public leaderboard loads all inputs, then all labels: ``layout="inputs, labels"``; its rule leaves no choice, and
the other layouts are for comparison. All training samples are loaded, whatever a program reads of them. Every
program but a full Fourier sum knows when it is not sure yet, and reads on: the last subset left is the secret.

``test="signs"`` is a decision tree: it branches on each sign once, and then knows it for free, in its control flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from operator import add, floordiv, iadd, ifloordiv, ilshift, imul, isub, ixor, lshift, mul, sub, xor
from typing import Any, ClassVar

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.gf2 import FittedParity, Inconsistent

Number = Any  # a number, or what a meter has in its place
Row = Sequence[Number]
Subset = tuple[int, ...]
Left = tuple[list[Subset], int]  # the subsets that may be the secret, and the samples read
Solver = Callable[[Sequence[Row], Row, "ParityProgram"], Left]
Run = Callable[[Callable[..., Any], Sequence[Any]], Any]

FAMILIES = ("gf2 bits", "gf2 rows", "fourier", "match", "eliminate")
LAYOUTS = ("inputs, labels", "labels, inputs", "samples")
WORD = 60  # signs packed into one number of 64 bits


def _choice(default: Any, *others: Any) -> Any:
    return field(default=default, metadata={"unit": "", "choices": (default, *others)})


@dataclass(frozen=True)
class ParityProgram:
    """A program for sparse parity; by default a naive one, elimination bit by bit on 500 samples.

    ``samples`` are read at the least, but by ``eliminate``; ``match`` packs no more of them than a word holds.
    """

    family: str = _choice(*FAMILIES)
    k: int = field(default=3, metadata={"unit": "bits", "low": 1, "high": 6})
    samples: int = field(
        default=500, metadata={"unit": "samples", "low": 1, "high": 500, "log": True, "search": (1, 500)}
    )
    order: str = _choice("first loaded", "last loaded")
    bits: str = _choice("ascending", "descending")
    update: str = _choice("new", "in place")
    pack: str = _choice("sample by sample", "column by column")
    search: str = _choice("subsets", "prefixes", "walk")
    test: str = _choice("subsets", "prefixes", "signs")
    copy: bool = _choice(False, True)
    reject: bool = _choice(False, True)
    # No choices in the metadata: whoever searches does not change the rule without saying so.
    layout: str = field(default=LAYOUTS[0], metadata={"unit": "", "accepted": LAYOUTS})

    name: ClassVar[str] = "parity program"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)
        if self.layout not in LAYOUTS:
            raise ValueError(f"ParityProgram: layout={self.layout!r}, accepted are {'; '.join(LAYOUTS)}")

    @property
    def prior_knowledge(self) -> str:
        """What the program is told beyond the samples: elimination finds out the size of the secret."""
        return "that it is a parity without noise" + ("" if self.family.startswith("gf2") else ", and k")

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Run the program unpriced. Exact, so neither ``seed`` nor ``budget`` changes anything. Raises as fit_by."""
        return self.fit_by(lambda program, arguments: program(*arguments), task, seed)

    def fit_by(self, run: Run, task: Task, seed: int) -> FittedParity:
        """The subset that ``run(program, arguments)`` finds, given all training samples as signs.

        Raises ValueError for labels other than -1 and +1 and for bits that no word holds, Inconsistent where none fits.
        """
        x, y = task.train.x, task.train.y
        if not (y.abs() == 1).all():
            raise ValueError(f"{self.name}: labels must be -1 or +1, as those of a parity are")
        if self.family == "gf2 rows" and x.shape[1] >= WORD:
            raise ValueError(f"{self.name}: {x.shape[1]} bits, accepted are fewer than {WORD} for family 'gf2 rows'")
        inputs, labels = x.int().tolist(), y[:, 0].int().tolist()
        found, samples = run(_program(_SOLVERS[self.family], self), _arguments(inputs, labels, self.layout))
        if not found:
            raise Inconsistent(f"{self.name}: no parity of k={self.k} bits explains the samples")
        return FittedParity(tuple(sorted(found[0])), samples)


def _arguments(inputs: list[list[int]], labels: list[int], layout: str) -> list[Any]:
    if layout == "samples":
        return [[[*row, label] for row, label in zip(inputs, labels, strict=True)]]
    return [inputs, labels] if layout == "inputs, labels" else [labels, inputs]


def _program(solve: Solver, plan: ParityProgram) -> Callable[..., Left]:
    """The program of a plan: a function of the arguments in its layout to the subsets left and the samples read."""

    def program(*arguments: Any) -> Left:
        if plan.layout == "samples":
            rows, labels = [sample[:-1] for sample in arguments[0]], [sample[-1] for sample in arguments[0]]
        else:
            rows, labels = arguments if plan.layout == "inputs, labels" else arguments[::-1]
        if plan.order == "last loaded":
            rows, labels = rows[::-1], labels[::-1]
        if plan.bits == "ascending":
            return solve(rows, labels, plan)
        found, samples = solve([row[::-1] for row in rows], labels, plan)
        return [tuple(len(rows[0]) - 1 - bit for bit in subset) for subset in found], samples

    return program


_IN_PLACE: dict[Any, Any] = {add: iadd, floordiv: ifloordiv, lshift: ilshift, mul: imul, sub: isub, xor: ixor}


def _do(plan: ParityProgram, operation: Callable[[Any, Any], Any], a: Number, b: Number) -> Number:
    """``operation(a, b)`` as a new number, or as one that takes the place of ``a``."""
    return _IN_PLACE[operation](a, b) if plan.update == "in place" else operation(a, b)


def _product(row: Row | dict[int, Number], subset: Subset, plan: ParityProgram) -> Number:
    product = +row[subset[0]]  # a copy, as the sample is needed again
    for bit in subset[1:]:
        product = _do(plan, mul, product, row[bit])
    return product


def _append(word: Number, sign: Number, plan: ParityProgram) -> Number:
    return _do(plan, add, _do(plan, lshift, word, 1), sign)


def _as_bits(word: Number, count: int, plan: ParityProgram) -> Number:
    """From the sum of (1 - 2 bit) times powers of two to the sum of bit times powers of two."""
    return _do(plan, floordiv, _do(plan, sub, word, (1 << count) - 1), -2)


def _word(signs: Sequence[Number], plan: ParityProgram) -> Number:
    """Signs as the bits of a number, the first one highest, -1 as 1."""
    word = signs[0]
    for sign in signs[1:]:
        word = _append(word, sign, plan)
    return _as_bits(word, len(signs), plan)


def _gf2(rows: Sequence[Row], labels: Row, plan: ParityProgram) -> Left:
    """Each equation is reduced by those before it; what is left of it starts at a new bit, or says nothing."""
    n, pivots, read, packed = len(rows[0]), dict[int, Any](), 0, plan.family == "gf2 rows"
    for row, label in zip(rows, labels, strict=True):
        equation: Any = _word([*row, label], plan) if packed else [*row, label]
        read += 1
        for bit in range(n):
            if equation & (1 << (n - bit)) if packed else equation[bit] < 0:
                if bit not in pivots:
                    pivots[bit] = equation
                    break
                equation = _added(equation, pivots[bit], plan)
        if len(pivots) == n and read >= plan.samples:
            break
    subset: list[int] = []
    for bit in sorted(pivots, reverse=True):  # the bits after this one are known
        rest = pivots[bit] if packed else pivots[bit][n]
        for known in subset:
            rest = rest ^ (pivots[bit] >> (n - known)) if packed else rest * pivots[bit][known]
        if rest & 1 if packed else rest < 0:
            subset.append(bit)
    return [tuple(subset)], read


def _added(equation: Any, pivot: Any, plan: ParityProgram) -> Any:
    """The sum of two equations modulo 2; plain elimination goes over all of their bits."""
    if plan.family == "gf2 rows":
        return _do(plan, xor, equation, pivot)
    return [_do(plan, mul, a, b) for a, b in zip(equation, pivot, strict=True)]


def _fourier(rows: Sequence[Row], labels: Row, plan: ParityProgram) -> Left:
    read = min(plan.samples, len(rows))
    best, left, largest = list[Subset](), list[Subset](), 0
    for subset in combinations(range(len(rows[0])), plan.k):
        total = 0
        for row, label in zip(rows[:read], labels[:read], strict=True):
            if plan.reject:
                if _product(row, subset, plan) != label:
                    break
            else:
                total = _do(plan, add, total, _do(plan, mul, _product(row, subset, plan), label))
        else:
            left.append(subset)
            if not plan.reject and (not best or total > largest):
                best, largest = [subset], total
    return _narrow(left, read, rows, labels, plan) if plan.reject else (best, read)


def _match(rows: Sequence[Row], labels: Row, plan: ParityProgram) -> Left:
    n, size = len(rows[0]), min(plan.samples, len(rows), WORD)
    if plan.family == "eliminate":
        return _narrow(list(combinations(range(n), plan.k)), 0, rows, labels, plan)
    columns = list(rows[0])
    if plan.pack == "column by column":
        columns = [_word([row[bit] for row in rows[:size]], plan) for bit in range(n)]
    else:
        for row in rows[1:size]:
            columns = [_append(word, sign, plan) for word, sign in zip(columns, row, strict=True)]
        columns = [_as_bits(word, size, plan) for word in columns]
    label = _word(labels[:size], plan)
    return _narrow(_find(columns, label, plan), size, rows, labels, plan)


def _find(columns: Row, label: Number, plan: ParityProgram) -> list[Subset]:
    """The subsets whose words give the label's by exclusive or."""
    subsets = combinations(range(len(columns)), plan.k)
    if plan.search == "walk":
        return _walk(columns, label, subsets, plan)
    if plan.search == "subsets":
        return [subset for subset in subsets if _rest(columns, subset, label, plan) == 0]
    found, known, rest = list[Subset](), None, label
    for subset in subsets:  # those with the same first k - 1 bits follow each other
        if subset[:-1] != known:
            known, rest = subset[:-1], _rest(columns, subset[:-1], label, plan)
        if rest == columns[subset[-1]]:
            found.append(subset)
    return found


def _walk(columns: Row, label: Number, subsets: Iterable[Subset], plan: ParityProgram) -> list[Subset]:
    """As _find, with one number that goes from subset to subset by what changes; most often one bit to the next."""
    steps = [a ^ b for a, b in pairwise(columns)]
    found, at = list[Subset](), tuple(range(plan.k))
    rest = _rest(columns, at, label, plan)
    for subset in subsets:
        for old, new in zip(at, subset, strict=True):
            if new == old + 1:
                rest = _do(plan, xor, rest, steps[old])
            elif new != old:
                rest = _do(plan, xor, _do(plan, xor, rest, columns[old]), columns[new])
        if not rest:
            found.append(subset)
        at = subset
    return found


def _rest(columns: Row, chosen: Subset, label: Number, plan: ParityProgram) -> Number:
    """What is left of the label when the chosen columns are taken out, as an element of its own."""
    rest = label ^ columns[chosen[0]] if chosen else +label
    for bit in chosen[1:]:
        rest = _do(plan, xor, rest, columns[bit])
    return rest


def _narrow(left: list[Subset], read: int, rows: Sequence[Row], labels: Row, plan: ParityProgram) -> Left:
    """Drop the subsets that the samples from ``read`` on contradict, until one is left; and the samples read."""
    while len(left) > 1 and read < len(rows):
        needed = sorted({bit for subset in left for bit in subset})
        row, label = {bit: rows[read][bit] for bit in needed}, labels[read]
        if plan.copy and plan.test != "signs":
            row, label = {bit: +sign for bit, sign in row.items()}, +label
        left, read = _consistent(left, row, label, plan), read + 1
    return left, read


def _consistent(left: list[Subset], row: dict[int, Number], label: Number, plan: ParityProgram) -> list[Subset]:
    """The subsets that one sample does not contradict. One fits at the least: the last one, if none before it does."""
    kept, known, rest = list[Subset](), None, label
    # A sign less 1 is 0 for +1.
    signs, odd = dict[int, bool](), plan.test == "signs" and bool(_do(plan, sub, label, 1))
    for subset in left:
        if not kept and subset == left[-1]:
            return [subset]
        if plan.test == "signs":
            signs |= {bit: bool(_do(plan, sub, row[bit], 1)) for bit in subset if bit not in signs}
            fits = sum(signs[bit] for bit in subset) % 2 == odd
        elif plan.test == "subsets" or plan.k == 1:
            fits = _product(row, subset, plan) == label
        else:
            if subset[:-1] != known:  # those with the same first k - 1 bits follow each other
                known, rest = subset[:-1], _do(plan, mul, _product(row, subset[:-1], plan), label)
            fits = rest == row[subset[-1]]
        if fits:
            kept.append(subset)
    return kept


_SOLVERS: dict[str, Solver] = dict(zip(FAMILIES, (_gf2, _gf2, _fourier, _match, _match), strict=True))
