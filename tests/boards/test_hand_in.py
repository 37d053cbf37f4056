import subprocess
import sys
from pathlib import Path

import pytest

from sutrolib.boards.annealing import AnnealedProgram, Annealing
from sutrolib.boards.hand_in import write_hand_in
from sutrolib.boards.lazy_rows import LazyRows
from sutrolib.boards.registry import find_board
from sutrolib.boards.scoring import score
from sutrolib.boards.task import BoardCost, BoardTask
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import RandomSearch
from sutrolib.processes.space import space_of


def study_of(board, share, space, process):
    return process.improve(BoardTask(board, share), space, BoardCost(board), SearchBudget(trials=2)).to_dict()


def test_a_grid_program_comes_with_what_makes_it_and_a_report(tmp_path):
    study = study_of("parity-small", 1.0, space_of(AnnealedProgram("parity-small", steps=500), "rounds"), Annealing())
    paths, found = write_hand_in(study, find_board("parity-small"), tmp_path, "ours")
    assert [path.name for path in paths] == ["ours.ir", "ours.py", "ours.md"]
    assert found.cost == study["best"]["cost"] == score(tmp_path / "ours.ir", "parity-small").cost
    kept = (tmp_path / "ours.ir").read_text()
    (tmp_path / "ours.ir").unlink()
    subprocess.run([sys.executable, "ours.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "ours.ir").read_text() == kept
    report = (tmp_path / "ours.md").read_text()
    for heading in ("Algorithm", "Memory layout", "Cost breakdown", "What was tried"):
        assert f"## {heading}" in report
    assert f"{found.cost:,}" in report
    assert "steps=500" in report  # what it needs to be found again
    assert "other searches" not in report
    write_hand_in(study, find_board("parity-small"), tmp_path, "ours", [study])
    assert (
        "| simulated annealing, seed 0 | annealed program: rounds=0 | 100% | 2 |" in (tmp_path / "ours.md").read_text()
    )


def test_cells_that_are_better_than_ours_are_kept(tmp_path):
    text = "1,2,3\nadd 1,1,3\nadd 1,1,2\n1"  # the placement may differ; the cost may not rise
    study = {"found": {"program": text}, "process": "by hand", "n_trials": 1}
    with pytest.raises(ValueError, match="the board gives 6 inputs"):
        write_hand_in(study, find_board("symmetry-6"), tmp_path, "ours")


def test_a_file_of_python_is_handed_in_as_it_is(tmp_path):
    study = study_of("parity-dmd", 0.95, space_of(LazyRows(), "whole"), RandomSearch())
    paths, found = write_hand_in(study, find_board("parity-dmd"), tmp_path, "ours")
    assert [path.name for path in paths] == ["solve.py", "README.md"]
    assert (tmp_path / "solve.py").read_text() == study["found"]["program"]
    assert found.valid


def test_a_study_without_a_program_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no program"):
        write_hand_in({"found": None}, find_board("matmul-4"), tmp_path, "ours")
    assert not list(Path(tmp_path).iterdir())
