"""Programs that find the secret of a sparse parity, number by number: a space to search for little data movement.

Each program is plain Python over lists of signs, so that a meter of such programs (``ProgramMeter``) can price every
number that it reads. The parts of a program are fields, so a search result is one setting of them. The families:

* ``gf2 bits``: Gaussian elimination modulo 2, equation by equation as they are read, one number per sign;
* ``gf2 rows``: the same with an equation in one word, packed by operators that are priced like all others;
* ``fourier``: for each subset the sum of label times product over the samples, or up to the first contradiction
  (``early_reject``); O'Donnell, Analysis of Boolean Functions, 2014, chapter 1;
* ``match``: columns of samples packed into words, and subsets whose words match the label's. Once k - 1 bits are
  chosen the last one follows (``backtracking``): a comparison, or a look into a word used as a set;
* ``eliminate``: sample by sample, keeping the subsets that no sample contradicts.

The public leaderboard loads all inputs, then all labels: ``layout="inputs, labels"``, which its rule prescribes. The
other layouts are for comparison. All training samples are loaded, even those that a program does not read. Every
program except a full Fourier sum knows when several subsets still fit, and reads on until one is left.

``consistency_test="signs"`` is a decision tree: it branches on each sign once, and then knows it for free, in its
control flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from operator import add, floordiv, iadd, ifloordiv, ilshift, imul, isub, ixor, lshift, mul, sub, xor
from typing import Any, ClassVar

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, choice, int_field
from sutrolib.models.parity.gf2 import FittedParity, Inconsistent, check_signs

_Number = Any  # a number, or the meter's tracked value
_Row = Sequence[_Number]
_Subset = tuple[int, ...]
_Candidates = tuple[list[_Subset], int]  # the subsets that may be the secret, and the number of samples read
_Solver = Callable[[Sequence[_Row], _Row, "ParityProgram"], _Candidates]
_Run = Callable[[Callable[..., Any], Sequence[Any]], Any]

_FAMILIES = ("gf2 bits", "gf2 rows", "fourier", "match", "eliminate")
_LAYOUTS = ("inputs, labels", "labels, inputs", "samples")
_WORD_SIGNS = 60  # signs packed into one number of 64 bits


@dataclass(frozen=True)
class ParityProgram(CheckedModel):
    """A program for sparse parity; the default is a naive one, elimination bit by bit on 500 samples.

    Every family but ``eliminate`` reads at least ``samples``; ``match`` packs no more of them than fit into a word.
    """

    family: str = choice(*_FAMILIES)
    k: int = int_field(3, "bits", 1, 6)
    samples: int = int_field(500, "samples", 1, 500, search=(1, 500), log=True)
    sample_order: str = choice("first loaded", "last loaded")
    bit_order: str = choice("ascending", "descending")
    in_place: bool = choice(False, True)
    packing: str = choice("sample by sample", "column by column")
    subset_search: str = choice("subsets", "prefixes", "incremental")
    consistency_test: str = choice("subsets", "prefixes", "signs")
    copy_samples: bool = choice(False, True)
    early_reject: bool = choice(False, True)
    # Not a choice in the metadata: a search must not change the rule unless it is asked to.
    layout: str = field(default=_LAYOUTS[0], metadata={"unit": "", "accepted": _LAYOUTS})

    name: ClassVar[str] = "parity program"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layout not in _LAYOUTS:
            raise ValueError(f"ParityProgram: layout must be one of {'; '.join(_LAYOUTS)} (got {self.layout!r})")

    @property
    def prior_knowledge(self) -> str:  # type: ignore[override]
        """What the program knows beyond the samples; elimination finds out the size of the secret itself."""
        return "that it is a parity without noise" + ("" if self.family.startswith("gf2") else ", and k")

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Run the program unpriced. Exact: ``seed`` and ``budget`` change nothing. Raises as fit_by."""
        return self.fit_by(lambda program, arguments: program(*arguments), task, seed)

    def fit_by(self, run: _Run, task: Task, seed: int) -> FittedParity:
        """The subset that ``run(program, arguments)`` finds, given all training samples as signs.

        Raises:
            ValueError: A label is not -1 or +1, or a word cannot hold that many bits.
            Inconsistent: No subset fits the samples.
        """
        x, y = task.train.x, task.train.y
        check_signs(y, self.name)
        if self.family == "gf2 rows" and x.shape[1] >= _WORD_SIGNS:
            raise ValueError(f"{self.name}: family 'gf2 rows' takes fewer than {_WORD_SIGNS} bits (got {x.shape[1]})")
        inputs, labels = x.int().tolist(), y[:, 0].int().tolist()
        found, samples = run(_program(_SOLVERS[self.family], self), _arguments(inputs, labels, self.layout))
        if not found:
            raise Inconsistent(f"{self.name}: no parity of k={self.k} bits explains the samples")
        return FittedParity(tuple(sorted(found[0])), samples)


def _arguments(inputs: list[list[int]], labels: list[int], layout: str) -> list[Any]:
    if layout == "samples":
        return [[[*row, label] for row, label in zip(inputs, labels, strict=True)]]
    return [inputs, labels] if layout == "inputs, labels" else [labels, inputs]


def _program(solve: _Solver, plan: ParityProgram) -> Callable[..., _Candidates]:
    """A function from the arguments, in the layout of ``plan``, to the remaining subsets and the samples read."""

    def program(*arguments: Any) -> _Candidates:
        if plan.layout == "samples":
            rows, labels = [sample[:-1] for sample in arguments[0]], [sample[-1] for sample in arguments[0]]
        else:
            rows, labels = arguments if plan.layout == "inputs, labels" else arguments[::-1]
        if plan.sample_order == "last loaded":
            rows, labels = rows[::-1], labels[::-1]
        if plan.bit_order == "ascending":
            return solve(rows, labels, plan)
        found, samples = solve([row[::-1] for row in rows], labels, plan)
        return [tuple(len(rows[0]) - 1 - bit for bit in subset) for subset in found], samples

    return program


_IN_PLACE: dict[Any, Any] = {add: iadd, floordiv: ifloordiv, lshift: ilshift, mul: imul, sub: isub, xor: ixor}


def _apply(plan: ParityProgram, operation: Callable[[Any, Any], Any], a: _Number, b: _Number) -> _Number:
    """``operation(a, b)`` as a new number, or in place of ``a``."""
    return _IN_PLACE[operation](a, b) if plan.in_place else operation(a, b)


def _product(row: _Row | dict[int, _Number], subset: _Subset, plan: ParityProgram) -> _Number:
    product = +row[subset[0]]  # a copy: the sample is needed again
    for bit in subset[1:]:
        product = _apply(plan, mul, product, row[bit])
    return product


def _append(word: _Number, sign: _Number, plan: ParityProgram) -> _Number:
    return _apply(plan, add, _apply(plan, lshift, word, 1), sign)


def _as_bits(word: _Number, count: int, plan: ParityProgram) -> _Number:
    """From the sum of (1 - 2 bit) times powers of two to the sum of bit times powers of two."""
    return _apply(plan, floordiv, _apply(plan, sub, word, (1 << count) - 1), -2)


def _word(signs: Sequence[_Number], plan: ParityProgram) -> _Number:
    """Signs as the bits of a number, the first one highest; -1 becomes 1."""
    word = signs[0]
    for sign in signs[1:]:
        word = _append(word, sign, plan)
    return _as_bits(word, len(signs), plan)


def _gf2(rows: Sequence[_Row], labels: _Row, plan: ParityProgram) -> _Candidates:
    """Reduce each equation by those before it; the rest starts at a new bit, or is empty."""
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
    """The sum of two equations modulo 2; plain elimination adds all of their bits."""
    if plan.family == "gf2 rows":
        return _apply(plan, xor, equation, pivot)
    return [_apply(plan, mul, a, b) for a, b in zip(equation, pivot, strict=True)]


def _fourier(rows: Sequence[_Row], labels: _Row, plan: ParityProgram) -> _Candidates:
    read = min(plan.samples, len(rows))
    best, left, largest = list[_Subset](), list[_Subset](), 0
    for subset in combinations(range(len(rows[0])), plan.k):
        total = 0
        for row, label in zip(rows[:read], labels[:read], strict=True):
            if plan.early_reject:
                if _product(row, subset, plan) != label:
                    break
            else:
                total = _apply(plan, add, total, _apply(plan, mul, _product(row, subset, plan), label))
        else:
            left.append(subset)
            if not plan.early_reject and (not best or total > largest):
                best, largest = [subset], total
    return _narrow(left, read, rows, labels, plan) if plan.early_reject else (best, read)


def _match(rows: Sequence[_Row], labels: _Row, plan: ParityProgram) -> _Candidates:
    n, size = len(rows[0]), min(plan.samples, len(rows), _WORD_SIGNS)
    if plan.family == "eliminate":
        return _narrow(list(combinations(range(n), plan.k)), 0, rows, labels, plan)
    columns = list(rows[0])
    if plan.packing == "column by column":
        columns = [_word([row[bit] for row in rows[:size]], plan) for bit in range(n)]
    else:
        for row in rows[1:size]:
            columns = [_append(word, sign, plan) for word, sign in zip(columns, row, strict=True)]
        columns = [_as_bits(word, size, plan) for word in columns]
    label = _word(labels[:size], plan)
    return _narrow(_find(columns, label, plan), size, rows, labels, plan)


def _find(columns: _Row, label: _Number, plan: ParityProgram) -> list[_Subset]:
    """The subsets whose words give the label's word by exclusive or."""
    subsets = combinations(range(len(columns)), plan.k)
    if plan.subset_search == "incremental":
        return _incremental(columns, label, subsets, plan)
    if plan.subset_search == "subsets":
        return [subset for subset in subsets if _rest(columns, subset, label, plan) == 0]
    found, known, rest = list[_Subset](), None, label
    for subset in subsets:  # those with the same first k - 1 bits follow each other
        if subset[:-1] != known:
            known, rest = subset[:-1], _rest(columns, subset[:-1], label, plan)
        if rest == columns[subset[-1]]:
            found.append(subset)
    return found


def _incremental(columns: _Row, label: _Number, subsets: Iterable[_Subset], plan: ParityProgram) -> list[_Subset]:
    """As _find, but update one number from subset to subset by the bits that change, most often one."""
    steps = [a ^ b for a, b in pairwise(columns)]
    found, at = list[_Subset](), tuple(range(plan.k))
    rest = _rest(columns, at, label, plan)
    for subset in subsets:
        for old, new in zip(at, subset, strict=True):
            if new == old + 1:
                rest = _apply(plan, xor, rest, steps[old])
            elif new != old:
                rest = _apply(plan, xor, _apply(plan, xor, rest, columns[old]), columns[new])
        if not rest:
            found.append(subset)
        at = subset
    return found


def _rest(columns: _Row, chosen: _Subset, label: _Number, plan: ParityProgram) -> _Number:
    """The label without the chosen columns, as a new element."""
    rest = label ^ columns[chosen[0]] if chosen else +label
    for bit in chosen[1:]:
        rest = _apply(plan, xor, rest, columns[bit])
    return rest


def _narrow(left: list[_Subset], read: int, rows: Sequence[_Row], labels: _Row, plan: ParityProgram) -> _Candidates:
    """Drop the subsets that samples from ``read`` on contradict, until one is left; also returns the samples read."""
    while len(left) > 1 and read < len(rows):
        needed = sorted({bit for subset in left for bit in subset})
        row, label = {bit: rows[read][bit] for bit in needed}, labels[read]
        if plan.copy_samples and plan.consistency_test != "signs":
            row, label = {bit: +sign for bit, sign in row.items()}, +label
        left, read = _consistent(left, row, label, plan), read + 1
    return left, read


def _consistent(left: list[_Subset], row: dict[int, _Number], label: _Number, plan: ParityProgram) -> list[_Subset]:
    """The subsets that one sample does not contradict. One must fit: the last one, if none before it does."""
    kept, known, rest = list[_Subset](), None, label
    # A sign less 1 is 0 for +1.
    signs, odd = dict[int, bool](), plan.consistency_test == "signs" and bool(_apply(plan, sub, label, 1))
    for subset in left:
        if not kept and subset == left[-1]:
            return [subset]
        if plan.consistency_test == "signs":
            signs |= {bit: bool(_apply(plan, sub, row[bit], 1)) for bit in subset if bit not in signs}
            fits = sum(signs[bit] for bit in subset) % 2 == odd
        elif plan.consistency_test == "subsets" or plan.k == 1:
            fits = _product(row, subset, plan) == label
        else:
            if subset[:-1] != known:  # those with the same first k - 1 bits follow each other
                known, rest = subset[:-1], _apply(plan, mul, _product(row, subset[:-1], plan), label)
            fits = rest == row[subset[-1]]
        if fits:
            kept.append(subset)
    return kept


_SOLVERS: dict[str, _Solver] = dict(zip(_FAMILIES, (_gf2, _gf2, _fourier, _match, _match), strict=True))
