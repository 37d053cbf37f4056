import pytest

from sutrolib.boards import naive
from sutrolib.boards.instances import ParityShape
from sutrolib.boards.registry import BOARDS
from sutrolib.boards.scoring import score

SMALL, MEDIUM = ParityShape(3, 2, 4, 32, 3, 64), ParityShape(8, 3, 8, 64, 56, 8)


@pytest.mark.parametrize(
    ("board", "text"),
    [
        ("matmul-4", naive.matmul(4)),
        ("matmul-16", naive.matmul(16)),
        ("parity-small", naive.parity(SMALL)),
        ("parity-medium", naive.parity(MEDIUM)),
        ("symmetry-6", naive.symmetry(6)),
        ("symmetry-8", naive.symmetry(8)),
    ],
)
def test_the_board_accepts_it_and_its_cost_is_above_the_public_best(board, text):
    found = score(text, board)
    assert found.share == 1
    assert found.cost > BOARDS[board].levels[-1].best


def test_more_rows_than_fit_are_refused():
    with pytest.raises(ValueError, match="packed into 8 bits"):
        naive.parity(ParityShape(32, 5, 18, 0, 1, 1))
