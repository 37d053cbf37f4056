"""The commands boards and score: the group's public boards, and a file scored as they score it."""

import argparse
from pathlib import Path

from sutrolib.boards.registry import BOARDS, Level, find_board
from sutrolib.boards.scoring import score
from sutrolib.cli.text import paragraph, show_table


def list_boards(options: argparse.Namespace) -> int:
    """Print each board with its public best, then how each is scored and handed in."""
    rows = [
        (board.name, board.instruction_set or "Python", f"{level.share:.0%} of {board.counted}", *_public_best(level))
        for board in BOARDS.values()
        for level in board.levels
    ]
    show_table(("board", "language", "right", "public best", "date"), rows)
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
    print(f"{found.board.name}: cost {found.cost:,}, {found.share:.1%} of {found.board.counted} right")
    if found.level is None:
        print(paragraph(f"not accepted: {found.why}"))
        return 1
    best, date = _public_best(found.level)
    verdict = "below" if found.beats_public_best else "at" if found.cost == found.level.best else "above"
    print(paragraph(f"accepted at {found.level.share:.0%}: {verdict} the public best of {best} (date: {date})"))
    print(paragraph(found.board.ours))
    return 0


def _public_best(level: Level) -> tuple[str, str]:
    return f"{level.best:,}", level.date or "unknown"
