import dataclasses
import functools

import numpy as np
import pytest
from board_programs import matmul_text, parity_text, symmetry_text

from sutrolib.boards.instances import ParityShape, parity_instances
from sutrolib.boards.registry import BOARDS, SEED
from sutrolib.boards.scoring import Score, score

SMALL = ParityShape(n=3, k=2, train=4, test=32, secrets=3, repeats=64)
MEDIUM = ParityShape(n=8, k=3, train=8, test=64, secrets=56, repeats=8)
MASK = ParityShape(n=7, k=2, train=8, test=0, secrets=21, repeats=4)  # as parity-mask32, small enough to be naive


def mask_board():
    instances = functools.partial(parity_instances, MASK, SEED)
    return dataclasses.replace(BOARDS["parity-mask32"], instances=instances, draws=1)


@pytest.mark.parametrize(
    ("name", "text", "cost"),
    [
        ("matmul-4", matmul_text(4), 1316),
        ("matmul-16", matmul_text(16), 340_704),
        ("symmetry-6", symmetry_text(6), 20),  # the public one is no cheaper
        ("symmetry-8", symmetry_text(8), 29),
        ("parity-small", parity_text(SMALL), None),
        ("parity-medium", parity_text(MEDIUM), None),
    ],
)
def test_a_naive_program_is_right_and_not_below_the_public_best(name, text, cost):
    found = score(text, name)
    assert found.valid
    assert not found.beats_public_best
    assert (found.share, found.level) == (1.0, BOARDS[name].levels[-1])
    assert cost in (None, found.cost)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "matmul-4",
            matmul_text(4).replace("mul 49,2,21", "mul 49,2,17"),
            "93.8% of outputs are right",
        ),
        ("matmul-4", matmul_text(2), "has 32 inputs and 16 outputs (got 8 and 4)"),
        ("matmul-4", matmul_text(4).replace("mul 49,2,21", "mul 49,33,21"), "a product of degree above two"),
        ("symmetry-6", symmetry_text(6).replace("and 1,3\n", ""), "of instances are right (the board needs 100%)"),
        ("symmetry-6", symmetry_text(8), "gives 6 inputs (the first line of the program has 8)"),
        ("symmetry-6", symmetry_text(6)[:-1] + "1,1", "asks for 1 outputs (got 2)"),
        ("symmetry-6", symmetry_text(6).replace("and 1,3", "div 1,3"), "division by zero"),
        ("parity-small", parity_text(SMALL, subsets=2), "of labels in every instance are right (the board needs 100%)"),
    ],
)
def test_a_wrong_program_says_what_is_wrong(name, text, said):
    found = score(text, name)
    assert not found.valid
    assert not found.beats_public_best
    assert said in found.why


def test_half_of_the_labels_are_enough_for_the_easier_level_of_parity_medium():
    *body, outputs = parity_text(MEDIUM).split("\n")
    first = outputs.split(",")[:32]
    found = score("\n".join([*body, ",".join(first + first[:1] * 32)]), "parity-medium")
    assert 0.5 <= found.share < 1
    assert found.level == BOARDS["parity-medium"].levels[0]


def test_masks_count_only_if_they_are_exact_and_reach_their_level():
    board = mask_board()
    assert score(parity_text(MASK), board).level == board.levels[-1]
    found = score(parity_text(MASK, subsets=14), board)  # of 21: a third of the masks stays empty
    assert found.share == pytest.approx(14 / 21)
    assert found.level == board.levels[1]
    assert "4.8% of instances are right (the board needs 40%)" in score(parity_text(MASK, subsets=1), board).why


def test_of_several_draws_the_one_with_the_least_right_decides():
    never = "1,2,3,4,5,6\nset 7,0\n7"  # wrong on the 8 palindromes, the first of which is in the first pair
    shares = [score(never, dataclasses.replace(BOARDS["symmetry-6"], draws=draws)).share for draws in (1, 32)]
    assert shares == [56 / 64, 1 / 2]


def test_less_than_the_public_best_is_below_it():
    found = score(symmetry_text(6), "symmetry-6")
    assert not found.beats_public_best
    assert dataclasses.replace(found, cost=19).beats_public_best


def test_a_file_is_scored_as_its_text(tmp_path):
    path = tmp_path / "ends.ir"
    path.write_text(symmetry_text(6))
    assert score(path, "symmetry-6") == score(symmetry_text(6), "symmetry-6")


def test_a_function_is_scored_by_the_mean_over_the_public_seeds():
    read = "x, y = np.asarray(x[:40]), np.asarray(y[:40])"
    search = "[s for s in combinations(range(n), k) if (x[:, s].prod(1) == y).all()][0]"
    text = f"from itertools import combinations\ndef solve(x, y, n, k):\n    {read}\n    return {search}\n"
    found = score(text, "parity-dmd")
    # 40 rows read at 10,500, written at 0; then 40 labels at 12,100, written at 10,000
    assert found.cost == round(800 * 10_500**0.5 + 40 * 2_100**0.5, 1)
    assert found.valid
    wrong = score("def solve(x, y, n, k):\n    return [0, 1, 2]", "parity-dmd")
    assert "of rows are right (the board needs 95%)" in wrong.why
    broken = score("def solve(x, y, n, k):\n    return x[10_000]", "parity-dmd")
    assert "solve() raises IndexError on seed 42" in broken.why
    assert np.isnan(broken.cost)


def test_an_unknown_board_and_a_bad_program_are_refused():
    with pytest.raises(ValueError, match="there is no board 'chess'; use matmul-4, "):
        score("1;1", "chess")
    with pytest.raises(ValueError, match=r"line 2 .*: unknown operator; v0 has add, sub, mul, copy$"):
        score("1,2;xor 3,1,2;3", "matmul-4")


def test_a_board_says_all_that_a_visitor_needs():
    for name, board in BOARDS.items():
        assert board.name == name
        assert board.rule
        assert board.source.startswith("github.com/cybertronai/")
        assert "github.com/cybertronai/" in board.hand_in
        assert board.ours.endswith(".")
        shares, bests = zip(*((level.share, level.best) for level in board.levels), strict=True)
        assert list(shares) == sorted(shares)
        assert list(bests) == sorted(bests)
        assert bool(board.instances) + bool(board.matrix_size) + (board.instruction_set == "") == 1


def test_a_time_of_this_machine_is_not_compared_with_one_of_another():
    board = BOARDS["mnist-60"]
    assert [level.asked for level in board.levels] == ["94.6%", "96.6%", "97.3%", "97.7%", "98.1%"]
    assert not Score(board, 0.001, 0.99, board.level(0.99)).beats_public_best
    product = BOARDS["matmul-4"]
    assert Score(product, 1, 1.0, product.level(1.0)).beats_public_best
