import pytest
from board_programs import symmetry_text
from builders import study

from sutrolib.__main__ import main
from sutrolib.boards.registry import BOARDS
from sutrolib.boards.task import BoardTask
from sutrolib.core.types import describe
from sutrolib.measurement.ledger import Ledger, read_lines


def scored(text, board, tmp_path, capsys):
    path = tmp_path / "program.ir"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    status = main(["score", str(path), "--board", board])
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), err


def test_a_right_program_gets_its_cost_and_its_place(tmp_path, capsys):
    status, out, err = scored(symmetry_text(6), "symmetry-6", tmp_path, capsys)
    assert (status, err) == (0, "")
    assert out.startswith("symmetry-6: cost 20, 100.0% of instances right accepted at 100%: at the public best of 20")


def test_a_large_cost_is_printed_in_full(tmp_path, capsys):
    there_and_back = f"copy {10**15},1\ncopy 1,{10**15}\n1"
    _, out, _ = scored(symmetry_text(6)[:-1] + there_and_back, "symmetry-6", tmp_path, capsys)
    assert out.startswith("symmetry-6: cost 31,622,798, 100.0%")  # 20 + 1 + ceil(sqrt(10^15))


def test_a_wrong_program_gets_the_reason(tmp_path, capsys):
    status, out, _ = scored(symmetry_text(6).replace("and 1,3\n", ""), "symmetry-6", tmp_path, capsys)
    assert status == 1
    assert "not accepted: 87.5% of instances are right (the board needs 100%)" in out


@pytest.mark.parametrize(
    ("text", "board", "said"),
    [
        ("1;pow 1,1;1", "symmetry-6", "line 2 ('pow 1,1'): unknown operator"),
        (b"1\xff;1", "symmetry-6", "line 1 ('1\ufffd'): the first and the last line are cells"),
        ("import os", "parity-dmd", "line 1: 'import os' is not allowed"),
        ("1;1", "chess", "there is no board 'chess'"),
    ],
)
def test_a_bad_file_is_one_sentence(text, board, said, tmp_path, capsys):
    status, out, err = scored(text, board, tmp_path, capsys)
    assert (status, out) == (2, "")
    assert said in err
    assert err.startswith("sutrolib: ")
    assert len(err.splitlines()) == 1
    assert len(err) < 400


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main(["score", str(tmp_path / "none.ir"), "--board", "symmetry-6"]) == 2
    assert "none.ir: No such file" in capsys.readouterr().err


def test_all_boards_are_listed_with_their_best_and_how_to_hand_in(capsys):
    assert main(["boards"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for board in BOARDS.values():
        assert f"{board.name}: {board.rule}" in out
        assert board.hand_in in out
        assert all(f"{level.best:,}" in out for level in board.levels)


def kept(cost, text=""):
    found = {"program": text or symmetry_text(6)}
    best = {"cost": cost, "prior_knowledge": "", "proposal": None}
    about = {"process": "by hand", "found": found, "best": best, "metric": "board-cost"}
    Ledger().add_study(study(problem=describe(BoardTask("symmetry-6")), **about))


def test_the_best_study_of_a_board_is_listed_and_exported_by_its_id(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for cost in (30, 20, 25):
        kept(cost, "" if cost == 20 else "1;1")
    assert main(["boards"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "symmetry-6" in line)
    cost, name = (cell.strip() for cell in row.strip("│ ").split("│")[-2:])
    assert cost == "20"
    lines = [line for path in Ledger().files() for _, line in read_lines(path, [])]
    assert name in {line.id for line in lines}, "it stays what it is when the study is published"
    folder = tmp_path / "new" / "folder"
    assert main(["export", name[:8], "--board", "symmetry-6", "-o", str(folder), "--name", "mine"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "at the public best of 20" in out
    assert sorted(path.name for path in folder.iterdir()) == ["mine.ir", "mine.md", "mine.py"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none", "--board", "symmetry-6"), "0 studies have an id that begins with 'none'; `python -m"),
        (("", "--board", "symmetry-6"), "2 studies have an id that begins with ''"),
        (("x", "--board", "chess"), "there is no board 'chess'"),
        (("x", "--board", "symmetry-6", "--name", "../x"), "--name must be of letters"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(arguments, said, tmp_path, capsys):
    kept(20)
    kept(21)
    assert main(["export", *arguments, "-o", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert not (tmp_path / "out").exists()
