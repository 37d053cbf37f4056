"""What notebooks say about public bests is what the boards' data say now: a title with another date is stale."""

import re

from sutrolib.boards.registry import BOARDS, find_board
from sutrolib.core import paths
from sutrolib.core.markdown import finding_in

SAID = re.compile(r"([a-z]+[-\w]*)(?: at (\d+)%)? [\d,.]+, (below|at|above) the public best of ([\d-]+) \(([\d,.]+)\)")


def claims(text):
    return [
        (board, int(share or 100) / 100, where, date, float(best.replace(",", "")))
        for board, share, where, date, best in SAID.findall(text)
    ]


def test_the_finding_of_notebook_17_names_the_public_bests_that_are_stored():
    found = claims(finding_in(paths.NOTEBOOKS / "17_against_the_records.ipynb")["finding"])
    assert len(found) >= 5
    for name, share, _, date, best in found:
        level = find_board(name).level(share)
        assert (date, best) == (level.date, level.best), f"{name}: the notebook is stale, or registry.py is"


def test_no_notebook_names_a_public_best_of_a_date_that_is_not_stored():
    stored = {level.date for board in BOARDS.values() for level in board.levels}
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        named = set(re.findall(r"public best of (\d{4}-\d\d-\d\d)", path.read_text(encoding="utf-8")))
        assert named <= stored, path.name


def test_a_stale_claim_is_found():
    text = "matmul-4 678, above the public best of 2026-09-20 (667); parity-mask32 at 80% 1, below the public best of x"
    assert claims(text) == [("matmul-4", 1.0, "above", "2026-09-20", 667.0)]
