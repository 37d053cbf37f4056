"""The commands boards, score and export: the group's public boards, a file scored as they score it, and handing in."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sutrolib.boards.hand_in import write_hand_in
from sutrolib.boards.registry import BOARDS, Level, find_board
from sutrolib.boards.scoring import Score, score
from sutrolib.boards.task import best_studies, of_board
from sutrolib.cli.text import paragraph, show_table
from sutrolib.measurement.ledger import Ledger, LedgerLine
from sutrolib.meters.base import Kind


def list_boards(options: argparse.Namespace) -> int:
    """Print each board with its public best and ours, then how each is scored and handed in."""
    ours = best_studies(Ledger().studies())
    rows = []
    for board in BOARDS.values():
        for level in board.levels:
            study = ours.get((board.name, level.share))
            found = (f"{study['best']['cost']:,}", _id(study)) if study else ("", "")
            asked = f"{level.asked} of {board.counted}"
            rows.append((board.name, board.instruction_set or "Python", asked, *_public_best(level), *found))
    show_table(("board", "language", "right", "public best", "date", "ours", "study"), rows)
    for board in BOARDS.values():
        print(paragraph(f"{board.name}: {board.rule}. {board.ours} Hand in: {board.hand_in}. {board.source}"))
    return 0


def run(options: argparse.Namespace) -> int:
    """Score a file and print what the board would say; 1 if it would not accept it."""
    path, board = Path(options.file), find_board(options.board)
    try:
        found = score(path, board)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _show(found)


def export(options: argparse.Namespace) -> int:
    """Write what a board asks for from a study of the ledger, and print how it scores from the file."""
    if not re.fullmatch(r"[\w-]+", options.name):
        raise ValueError(f"--name must be of letters, digits, '_' and '-' (got {options.name!r})")
    board, studies = find_board(options.board), Ledger().studies()
    same = {name: study for study in studies if (name := _id(study)).startswith(options.study)}
    if len(same) != 1:
        got = f"{len(same)} studies have an id that begins with {options.study!r}"
        raise ValueError(f"{got}; `python -m sutrolib boards` shows the ids of the best")
    [study] = same.values()
    others = [one for one in of_board(studies, board.name) if one is not study]
    paths, found = write_hand_in(study, board, Path(options.output), options.name, others)
    print(*paths, sep="\n")
    print(paragraph(f"Hand in: {board.hand_in}"))
    return _show(found)


def _show(found: Score) -> int:
    print(f"{found.board.name}: cost {found.cost:,}, {found.share:.1%} of {found.board.counted} right")
    if found.level is None:
        print(paragraph(f"not accepted: {found.why}"))
        return 1
    best, date = _public_best(found.level)
    verdict = "below" if found.beats_public_best else "at" if found.cost == found.level.best else "above"
    if found.board.kind == Kind.MEASURED:
        verdict = "not compared with"
    print(paragraph(f"accepted at {found.level.asked}: {verdict} the public best of {best} (date: {date})"))
    print(paragraph(found.board.ours))
    return 0


def _id(study: Mapping[str, Any]) -> str:
    """The id of its line in the ledger, which is the same wherever that line stands."""
    return LedgerLine.of("study", {name: value for name, value in study.items() if name not in ("source", "dirty")}).id


def _public_best(level: Level) -> tuple[str, str]:
    return f"{level.best:,}", level.date or "unknown"
