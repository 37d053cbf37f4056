"""Score a program or a function as a public board does: what it costs, what share is right, and the level reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sutrolib.boards.grid_program import BoardProgram, GridProgramError
from sutrolib.boards.grid_text import parse
from sutrolib.boards.registry import LABELS, SOLVER, Board, Level, find_board
from sutrolib.boards.symbolic import matmul_outputs_right
from sutrolib.core.io import temporary_folder
from sutrolib.core.paths import ROOT
from sutrolib.meters.base import Kind

_PROCESS = "sutrolib.boards.submission"


@dataclass(frozen=True)
class Score:
    """A cost, the share that is right, and the highest level reached; ``why`` says why none is."""

    board: Board
    cost: float
    share: float
    level: Level | None
    why: str = ""

    @property
    def valid(self) -> bool:
        """Whether the board would accept it at some level."""
        return self.level is not None

    @property
    def beats_public_best(self) -> bool:
        """Whether it costs less than the public best at its level; never where that was measured on another machine."""
        comparable = self.board.kind != Kind.MEASURED
        return comparable and self.level is not None and self.cost < self.level.best


def score(source: str | Path, board: Board | str) -> Score:
    """Score a text, or the file at a path.

    Raises ValueError with line and reason for what is no program of the board, and for an unknown board. A program that
    is wrong has a score that says so.
    """
    board = find_board(board) if isinstance(board, str) else board
    text = source.read_text(encoding="utf-8", errors="replace") if isinstance(source, Path) else source
    if not board.instruction_set:
        return _score_file(text, board)
    program = parse(text, board.instruction_set, board.max_lines)
    try:
        share = _share_right(program, board)
    except GridProgramError as error:
        return Score(board, program.cost, 0.0, None, str(error))
    return _at_level(board, program.cost, share)


def _at_level(board: Board, cost: float, share: float) -> Score:
    reached = board.level(share)
    needed = f"{share:.1%} of {board.counted} are right (the board needs {board.levels[0].asked})"
    return Score(board, cost, share, reached, "" if reached else needed)


def _share_right(program: BoardProgram, board: Board) -> float:
    if board.matrix_size:
        return float(np.mean(matmul_outputs_right(program, board.matrix_size)))
    assert board.instances is not None
    inputs, expected = board.instances()
    if len(program.outputs) != expected.shape[1]:
        raise GridProgramError(f"the board asks for {expected.shape[1]} outputs (got {len(program.outputs)})")
    right = program.run(inputs) == expected
    if board.counted == LABELS:
        return float(right.mean(1).min())
    return float(right.all(1).reshape(board.draws, -1).mean(1).min())


def _score_file(text: str, board: Board) -> Score:
    """The mean over the board's runs, to as many digits as the board gives."""
    try:
        found = _run_file(text, board.file, board.limit_s)
    except RuntimeError as error:
        return Score(board, float("nan"), 0.0, None, str(error))
    digits = 1 if board.file == SOLVER else 6
    cost = round(np.mean([round(cost, digits) for cost, _ in found]).item(), digits)
    return _at_level(board, cost, np.mean([share for _, share in found]).item())


def _run_file(text: str, kind: str, limit_s: float) -> list[tuple[float, float]]:
    """Cost and share right of each of the board's runs, from a process of their own.

    Raises ValueError for a text that is no such file, and RuntimeError for one that fails or takes too long.
    """
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with temporary_folder("board") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-m", _PROCESS, kind],
                input=text.encode(),
                capture_output=True,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": paths},
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it takes more than {limit_s:g} s") from None
    lines = done.stdout.decode(errors="replace").splitlines()
    if not lines:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(
            f"its process ended with status {done.returncode}, without a result: {last[:200] or 'silent'}"
        )
    found = json.loads(lines[-1])
    if "refused" in found:
        raise ValueError(found["refused"])
    if "failed" in found:
        raise RuntimeError(found["failed"])
    return [(cost, share) for cost, share in found["runs"]]
