import math
from itertools import combinations

import numpy as np
import pytest

from sutrolib.boards.buffer_clock import SEEDS, BufferClock, load_solver, public_data, score_solver, tracking

# Every read is its size times the root of the clock's advance since the buffer was written.
NOW = 4  # after one array of two and one of two were written


def cost_of(program):
    clock = BufferClock()
    with tracking(clock):
        a, b = clock.track(np.array([3.0, 1.0])), clock.track(np.array([1.0, 2.0]))
        program(a, b)
    return clock.cost, clock.now


@pytest.mark.parametrize(
    ("program", "cost", "now"),
    [
        (lambda a, b: a[0], 2.0, NOW + 1),
        (lambda a, b: a[:1], 2.0, NOW + 1 + 1),
        (lambda a, b: (a[0], a[1]), 2 + math.sqrt(5), NOW + 2),  # a read advances the clock
        (lambda a, b: a + b, 2 * 2 + 2 * 2, NOW + 4 + 2),  # b is read at 6, written at 2
        (lambda a, b: a + 1, 2 * 2, NOW + 2 + 2),
        (lambda a, b: (a + 1)[0], 2 * 2 + math.sqrt(2), NOW + 4 + 1),
        (lambda a, b: np.add(a, 1, out=b), 2 * 2, NOW + 2 + 2),
        (lambda a, b: (np.add(a, 1, out=b), b[0]), 2 * 2 + math.sqrt(2), NOW + 4 + 1),
        (lambda a, b: np.divmod(a, 2), 2 * 2, NOW + 2 + 4),
        (lambda a, b: np.add.reduce(a), 2 * 2, NOW + 2),
        (lambda a, b: a.sum(), 2 * 2, NOW + 2),
        (lambda a, b: a.sum(0, keepdims=True), 2 * 2, NOW + 2 + 1),
        (lambda a, b: a.copy(), 2 * 2, NOW + 2 + 2),
        (lambda a, b: a.astype(int), 2 * 2, NOW + 2 + 2),
        (lambda a, b: a.tolist(), 2 * 2, NOW + 2),
        (lambda a, b: np.stack([a, b]), 2 * 2 + 2 * 2, NOW + 4 + 4),
        (lambda a, b: np.where(a > 2, b, 0), 2 * 2 + 2 * math.sqrt(2) + 2 * math.sqrt(8), NOW + 4 + 4 + 2),
        (lambda a, b: np.stack(arrays=[b, a]), 2 * math.sqrt(2) + 2 * math.sqrt(6), NOW + 4 + 4),
        (lambda a, b: np.where(a, b, 0), 2 * 2 + 2 * 2, NOW + 4 + 2),
        (lambda a, b: np.nonzero(a), 2 * 2, NOW + 2),
        (lambda a, b: np.zeros_like(a), 0.0, NOW + 2),
        (lambda a, b: np.zeros(3), 0.0, NOW + 3),
        (lambda a, b: (np.ones(3)[0], np.empty((2, 2))), math.sqrt(3), NOW + 3 + 1 + 4),
        (lambda a, b: a.__setitem__(0, 5.0), 0.0, NOW + 1),
        (lambda a, b: (a.__setitem__(0, 5.0), a[1]), 1.0, NOW + 2),  # the whole buffer is young
        (lambda a, b: a.__setitem__([0, 1], b), 2 * math.sqrt(2), NOW + 2 + 2),
        (lambda a, b: a.__setitem__(slice(None), b), 2 * math.sqrt(2) + 2 * math.sqrt(6), NOW + 2 + 4 + 2),
        (lambda a, b: list(a), 2 + math.sqrt(5), NOW + 2),
        (lambda a, b: (a.reshape(1, 2), a.T, a.ravel()), 0.0, NOW),
        (lambda a, b: a.reshape(2, 1)[0, 0], 2.0, NOW + 1),
        (lambda a, b: np.asarray(a) + 1, 0.0, NOW),  # a hole of the public scale
    ],
)
def test_reads_cost_and_reads_and_writes_advance_the_clock(program, cost, now):
    assert cost_of(program) == (pytest.approx(cost), now)


def test_arrays_hold_what_numpy_gives():
    clock = BufferClock()
    a = clock.track(np.arange(6).reshape(2, 3))
    a ^= 1
    a[0] = a[1] * 2
    assert a.tolist() == [[4, 10, 8], [2, 5, 4]]
    assert (np.zeros(2) == 0).all()
    assert clock.now > 0


def test_constructors_are_themselves_again_after_the_block():
    with tracking(BufferClock()):
        assert hasattr(np.zeros(1), "buffer")
    assert not hasattr(np.zeros(1), "buffer")


def test_a_public_elimination_of_22_rows_costs_what_the_leaderboard_says():
    def solve(x, y, n_bits, k_sparse):  # its elimination is on plain numbers, and free
        np.asarray(x[:22]), np.asarray(y[:22])
        return [0]

    assert [round(score_solver(solve, seed)[0], 1) for seed in SEEDS] == [45_903.8] * 3


def elimination(order):
    """Our elimination: read a label, then bits as they are needed, and keep the subsets that fit; one must fit."""

    def solve(x, y, n_bits, k_sparse):
        left = list(combinations(range(n_bits), k_sparse))
        for row in order:
            label, bits, kept = y[row], {}, []
            for subset in left:
                if not kept and subset == left[-1]:
                    return subset
                for bit in subset:
                    bits[bit] = bits[bit] if bit in bits else x[row, bit]
                if math.prod(bits[bit] for bit in subset) == label:
                    kept.append(subset)
            if len(kept) == 1:
                return kept[0]
            left = kept

    return solve


@pytest.mark.parametrize(
    ("order", "costs", "mean"),
    [(range(499, -1, -1), [17_530.1, 22_990.6, 18_900.1], 19_806.9), (range(500), None, 19_150.2)],
)
def test_our_elimination_costs_what_the_public_harness_gives(order, costs, mean):
    found = [score_solver(elimination(order), seed) for seed in SEEDS]
    assert costs in (None, [round(cost, 1) for cost, _ in found])
    assert round(np.mean([cost for cost, _ in found]), 1) == mean
    assert [accuracy for _, accuracy in found] == [1.0] * 3


def test_a_wrong_subset_is_right_on_about_half_of_the_rows():
    secret = public_data(42)[2]
    wrong = [bit for bit in range(20) if bit not in secret][:3]
    assert 0.4 < score_solver(lambda *arguments: wrong, 42)[1] < 0.6
    assert score_solver(lambda *arguments: secret, 42) == (0.0, 1.0)
    assert score_solver(lambda *arguments: [], 42) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nimport os\n", "line 2: 'import os' is not allowed; use only numpy"),
        ("def solve(*a):\n  return open('x')\n", "line 2: 'open(' is not allowed"),
        ("x = 1\ndef solve(:\n", "line 2: "),
        ("solve = 3", "defines no function solve"),
        ("y = z", "cannot be loaded: NameError: name 'z'"),
    ],
)
def test_a_bad_file_says_why(text, said):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_solver(text)
    assert said in str(error.value)


def test_a_file_finds_numpy_as_on_the_board():
    assert load_solver("def solve(x, y, n, k):\n    return np.arange(k) + numpy.ones(k)")(0, 0, 20, 3).tolist() == [
        1,
        2,
        3,
    ]
