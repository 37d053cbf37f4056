"""A starting program for the board parity-mask32: information-set decoding, eight candidates at once.

The labels are a syndrome, and the secret is the one vector of weight 5 that has it (Prange, The use of information sets
in decoding cyclic codes, IRE Transactions on Information Theory 8, 1962; Lee and Brickell, EUROCRYPT 1988).
Gauss-Jordan elimination of the training rows, packed to bytes, gives each row a column of its own, its *pivot*. Then
for every choice of a few of the 16 last columns, the rows that are still wrong must be as many as bits of the secret
are left, and their pivots are those bits. A byte holds eight choices, the rotations of one of them, and full adders
count the wrong rows of all eight. Nothing branches: a choice that fits leaves its bit in a byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

from sutrolib.boards.copies import with_copies
from sutrolib.boards.grid_text import parse
from sutrolib.boards.naive import Writer, pack
from sutrolib.boards.placement import Operations
from sutrolib.boards.registry import PARITY_MASK, find_board
from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import int_field

_ENUMERATED = (2, 3)  # the bytes whose columns are chosen from
_CHOSEN = (1, 2, 3, 4)  # columns at once
_LANES = 16


@dataclass(frozen=True)
class MaskDecoder(BoardModel):
    """The program; the settings say which pivots and which choices it tries.

    The first rows have their pivot in byte 0, ``two_bytes`` rows after ``first_byte`` in byte 0 or 1, then
    ``second_byte`` rows in byte 1, and the others in byte 1 or 2. Of the last 16 columns ``choices`` rotation classes
    are tried, those of fewest columns first. With ``price_rounds`` copies are searched for.
    """

    first_byte: int = int_field(4, "rows", 0, 18, search=(0, 18))
    two_bytes: int = int_field(6, "rows", 0, 18, search=(0, 18))
    second_byte: int = int_field(4, "rows", 0, 18, search=(0, 18))
    choices: int = int_field(160, "classes", 1, 160, search=(1, 160))
    price_rounds: int = int_field(0, "rounds", 0, 1000)

    name: ClassVar[str] = "information-set decoding"
    prior_knowledge: ClassVar[str] = "labels are linear in the secret bits, which are 5"

    def text(self) -> str:
        """The program as the board reads it."""
        operations = Operations.of(parse(self.plain(), find_board("parity-mask32").instruction_set))
        return with_copies(operations, self.price_rounds).operations.text() if self.price_rounds else operations.text()

    @property
    def windows(self) -> list[tuple[int, ...]]:
        """In which bytes each row may have its pivot."""
        many: list[tuple[int, tuple[int, ...]]] = [(self.first_byte, (0,)), (self.two_bytes, (0, 1))]
        many += [(self.second_byte, (1,)), (PARITY_MASK.train, (1, 2))]
        return [window for rows, window in many for _ in range(rows)][: PARITY_MASK.train]

    def plain(self) -> str:
        """The program, each value in a cell of its own."""
        n, rows = PARITY_MASK.n, range(PARITY_MASK.train)
        write = Writer(len(rows) * (n + 1))
        zero = write.constant(0)
        data = [[pack(write, [r * n + 8 * k + i + 1 for i in range(8)]) for k in range(4)] for r in rows]
        labels = [len(rows) * n + r + 1 for r in rows]
        pivots = [self._eliminate(write, zero, data, labels, r) for r in rows]
        wrong = [write("sub", zero, label) for label in labels]  # all bits of a byte
        found = self._search(write, zero, [[data[r][k] for k in _ENUMERATED] for r in rows], wrong)
        mask: list[list[int]] = [[], [], [found[0]], [found[1]]]
        for r in rows:
            both = [write("and", data[r][k], found[i]) for i, k in enumerate(_ENUMERATED)]
            odd = write("cmp", _parity_sign(write, write("xor", *both)), zero, tail=",lt")
            left = write("xor", odd, labels[r])
            for k, bit in pivots[r].items():
                mask[k].append(write("mul", left, bit))
        outputs = []
        for parts in mask:
            byte = write.fold("xor", parts)
            bits = []
            for i in range(8):
                bits.append(write("cmp", byte, zero, tail=",lt"))
                byte = write("add", byte, byte) if i < 7 else byte
            outputs += bits[::-1]
        return write.text(outputs)

    def _eliminate(
        self, write: Writer, zero: int, data: list[list[int]], labels: list[int], row: int
    ) -> dict[int, int]:
        """Clear the pivot of this row in all others; returns its bit in each byte of the window."""
        bits, none_yet = dict[int, int](), 0
        for k in self.windows[row]:
            lowest = write("and", data[row][k], write("sub", zero, data[row][k]))
            bits[k] = write("mul", lowest, none_yet) if none_yet else lowest
            if k != self.windows[row][-1]:
                empty = write("cmp", data[row][k], zero, tail=",eq")
                none_yet = write("and", empty, none_yet) if none_yet else empty
        for other in range(len(data)):
            if other == row:
                continue
            hit = write.fold("or", [write("and", data[other][k], bit) for k, bit in bits.items()])
            has = write("cmp", hit, zero, tail=",ne")
            for k in sorted({k for window in self.windows[row + 1 :] for k in window} | set(_ENUMERATED)):
                data[other][k] = write("xor", data[other][k], write("mul", has, data[row][k]))
            labels[other] = write("xor", labels[other], write("and", has, labels[row]))
        return bits

    def _search(self, write: Writer, zero: int, columns: list[list[int]], wrong: list[int]) -> list[int]:
        """The chosen columns that fit, as two bytes."""
        rows, choices = range(len(columns)), [c for n in _CHOSEN for c in _classes(n)][: self.choices]
        turned = [columns]  # by shift: two bytes for each row
        for _ in range(max(shift for choice in choices for shift in choice)):
            turned.append([_rotated(write, zero, pair) for pair in turned[-1]])
        hits: list[list[list[int]]] = [[[], []] for _ in turned]
        for half in range(2):
            known = {(0,): [write("xor", wrong[r], columns[r][half]) for r in rows]}

            def syndrome(choice: tuple[int, ...], half: int = half, known: Any = known) -> Iterator[int]:
                front, last = choice[:-1], choice[-1]
                if not front:
                    return iter(known[choice])
                if front not in known:
                    known[front] = list(syndrome(front))
                return (write("xor", known[front][r], turned[last][r][half]) for r in rows)

            for choice in choices:
                hit = _counts_to(write, syndrome(choice), PARITY_MASK.k - len(choice))
                for shift in choice:
                    hits[shift][half].append(hit)
        found = [zero, zero]
        for shift in range(1, _LANES + 1):  # lane c of a shift stands for column c - shift
            if shift < len(hits) and hits[shift][0]:
                found = [write("or", found[half], write.fold("or", hits[shift][half])) for half in range(2)]
            if shift == _LANES:
                found = [write("or", found[half], write.fold("or", hits[0][half])) for half in range(2)]
            else:
                found = _rotated(write, zero, found)
        return found


def _classes(n: int) -> list[tuple[int, ...]]:
    """All choices of n of 16 columns but for rotations, each as shifts from 0 on, of which the last is least."""
    found = set()
    for choice in combinations(range(_LANES), n):
        turned = (tuple(sorted((column - first) % _LANES for column in choice)) for first in choice)
        found.add(min(turned, key=lambda shifts: (shifts[-1], shifts)))
    return sorted(found)


def _rotated(write: Writer, zero: int, pair: Sequence[int]) -> list[int]:
    """Sixteen bits in two bytes, each one place higher, the last one first."""
    carry = [write("cmp", byte, zero, tail=",lt") for byte in pair]
    return [write("add", write("add", pair[half], pair[half]), carry[1 - half]) for half in range(2)]


def _parity_sign(write: Writer, byte: int) -> int:
    """A byte whose highest bit is the parity of the given one."""
    for doublings in (1, 2, 4):
        moved = byte
        for _ in range(doublings):
            moved = write("add", moved, moved)
        byte = write("xor", byte, moved)
    return byte


def _counts_to(write: Writer, bits: Iterable[int], wanted: int) -> int:
    """In which places exactly so many of these bytes, 1 to 7, have a 1; they are read one by one."""
    places = wanted.bit_length()
    waiting: list[list[int]] = [[] for _ in range(places)]
    too_many = list[int]()

    def put(place: int, bit: int) -> None:
        if place == places:
            too_many[:] = [write.fold("or", [*too_many, bit])]
            return
        waiting[place].append(bit)
        if len(waiting[place]) == 3:
            a, b, c = waiting[place]
            either = write("xor", a, b)
            carry = write("or", write("and", a, b), write("and", either, c))
            waiting[place] = [write("xor", either, c)]
            put(place + 1, carry)

    for bit in bits:
        put(0, bit)
    for place in range(places):
        if len(waiting[place]) == 2:
            a, b = waiting[place]
            carry = write("and", a, b)
            waiting[place] = [write("xor", a, b)]
            put(place + 1, carry)
    digits = [waiting[place][0] for place in range(places)]
    matching = write.fold("and", [digit for place, digit in enumerate(digits) if wanted >> place & 1])
    return _without(write, matching, too_many + [d for place, d in enumerate(digits) if not wanted >> place & 1])


def _without(write: Writer, byte: int, others: Iterable[int]) -> int:
    either = write.fold("or", list(others))
    return write("xor", write("or", byte, either), either)
