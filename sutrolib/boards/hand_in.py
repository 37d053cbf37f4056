"""What a board asks for, written from the text that a search found: the program, what makes it, and a report.

For a grid program the generator holds the operations in their order, and finds the cells by itself
(:mod:`sutrolib.boards.placement`), with numpy alone.
"""

from __future__ import annotations

import base64
import inspect
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sutrolib.boards import placement
from sutrolib.boards.buffer_clock import names_in
from sutrolib.boards.grid_program import CMP, OPERATORS, BoardProgram, distances
from sutrolib.boards.grid_text import parse
from sutrolib.boards.placement import Operations
from sutrolib.boards.registry import FILES, Board
from sutrolib.boards.scoring import Score, score
from sutrolib.core.markdown import markdown_table

_GENERATOR = '''"""Writes {name}.ir: operations in a fixed order, and their cells by weighted interval scheduling."""

import base64
import json
import zlib

import numpy as np

CONTENT = json.loads(zlib.decompress(base64.b85decode("""
{packed}
""".replace("\\n", ""))))


{lives}

{place}

def program():
    """The text: cells of the inputs, operations with their target first, cells of the outputs."""
    inputs, lines, outputs = CONTENT["inputs"], CONTENT["operations"], np.array(CONTENT["outputs"])
    operands = np.full((len(lines), 3), -1)
    for number, (_, values, _) in enumerate(lines):
        operands[number, : len(values)] = values
    cells = CONTENT["cells"] or place(*lives(inputs, operands, outputs)).tolist()
    text = [",".join(str(cell) for cell in cells[:inputs])]
    for number, (name, values, tail) in enumerate(lines):
        text.append(name + " " + ",".join([str(cells[v]) for v in (inputs + number, *values)] + tail))
    return "\\n".join([*text, ",".join(str(cells[value]) for value in outputs.tolist())]) + "\\n"


if __name__ == "__main__":
    with open("{name}.ir", "w") as file:
        file.write(program())
'''


def write_hand_in(
    study: Mapping[str, Any], board: Board, folder: Path, name: str, others: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[Path], Score]:
    """Write the files for ``board`` from the program of a stored study, and score it once more from the file.

    The report also lists the ``others``, searches for the same board. Raises ValueError for a study without a program,
    and for a program that the board does not accept; OSError for a folder that cannot be written.
    """
    text = (study.get("found") or {}).get("program", "")
    if not text:
        raise ValueError("this study holds no program: only searches for programs do, and only where one was found")
    folder.mkdir(parents=True, exist_ok=True)
    if board.file:
        files = {FILES[board.file]: text}
    else:
        files = _grid_files(parse(text, board.instruction_set, board.max_lines), name)
    paths = []
    for file, content in files.items():
        paths.append(folder / file)
        paths[-1].write_text(content, encoding="utf-8")
    found = score(paths[0], board)
    if not found.valid:
        raise ValueError(f"{paths[0]}: {board.name} does not accept it: {found.why}")
    report = folder / ("README.md" if board.file else f"{name}.md")
    report.write_text(_report(study, board, found, paths[0], name, others), encoding="utf-8")
    return [*paths, report], found


def _grid_files(program: BoardProgram, name: str) -> dict[str, str]:
    """The program as text, and the file that makes it."""
    operations = Operations.of(program).without_unused()
    cells = [] if operations.cost <= program.cost else _cells_of(program)
    if cells:
        operations = Operations.of(program)
    lines = []
    for line in operations.text().splitlines()[1:-1]:
        words = line.partition(" ")[2].split(",")
        lines.append(words)
    content = {
        "inputs": operations.inputs,
        "operations": [
            [OPERATORS[min(code, CMP)], row[row >= 0].tolist(), words[1 + int((row >= 0).sum()) :]]
            for code, row, words in zip(operations.operators.tolist(), operations.operands, lines, strict=True)
        ],
        "outputs": operations.outputs.tolist(),
        "cells": cells,
    }
    packed = base64.b85encode(zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)).decode()
    made = _GENERATOR.format(
        name=name,
        packed="\n".join(packed[start : start + 100] for start in range(0, len(packed), 100)),
        lives=_plain_source(placement.lives),
        place=_plain_source(placement.place),
    )
    return {f"{name}.ir": names_in(made, f"{name}.py", {"__name__": "generator"})["program"](), f"{name}.py": made}


def _cells_of(program: BoardProgram) -> list[int]:
    """The cell of each value in the program as it is, inputs first."""
    return [int(cell) for cell in program.cells[np.concatenate([program.inputs, program.targets])]]


def _plain_source(function: Any) -> str:
    """A compiled function as plain Python."""
    return inspect.getsource(function.py_func).partition("\n")[2]


def _report(
    study: Mapping[str, Any], board: Board, found: Score, path: Path, name: str, others: Sequence[Mapping[str, Any]]
) -> str:
    """How it was found and what it costs, as Markdown."""
    level = found.level
    assert level is not None  # what is not accepted is not handed in
    best = f"{level.best:,}" + (f" of {level.date}" if level.date else " (date unknown)")
    parts = [
        f"# {name}: {board.name}",
        f"Cost **{found.cost:,}** by the board's rule, {found.share:.2%} of {board.counted} right; "
        f"the public best known at {level.asked} is {best}.",
        board.ours,
        "## Algorithm",
        f"Found by {study['process']} ({study['n_trials']} trials); what it knew beforehand: "
        f"{(study.get('best') or {}).get('prior_knowledge') or 'not recorded'}. Settings: "
        f"{_settings(study)}.",
    ]
    if not board.file:
        parts += _breakdown(parse(path.read_text(), board.instruction_set, board.max_lines))
    parts += [
        "## What was tried",
        study.get("tried", ""),
        markdown_table(("trial", "cost", "score", "why"), _tried(study)),
    ]
    spent = study.get("spent") or {}
    seconds = spent.get("seconds")
    parts += [f"All trials took {seconds:,.0f} s." if seconds else "", f"Commit {study.get('commit', 'unknown')}."]
    if others:
        header = ("other searches for this board", "began with", "right", "trials", "least cost", "seconds")
        parts.append(markdown_table(header, [_summary(other) for other in others]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings(study: Mapping[str, Any]) -> str:
    model = (study.get("found") or {}).get("model") or {}
    return ", ".join(f"{key}={value}" for key, value in model.items()) or "none"


def _summary(study: Mapping[str, Any]) -> tuple[str, ...]:
    """One row; what a study was added to the ledger without is left empty."""
    [family, *_], best, spent = study.get("space") or [{}], study.get("best"), study.get("spent") or {}
    began = ", ".join(f"{key}={value}" for key, value in family.get("start", {}).items())
    asked, least = f"{study['problem']['share']:.0%}", f"{best['cost']:,}" if best else "none"
    name = f"{study.get('process')}, seed {study.get('seed')}"
    start, seconds = f"{family.get('family', '')}: {began}", f"{spent.get('seconds', 0):,.0f}"
    return name, start, asked, f"{study.get('n_trials', 0):,}", least, seconds


def _tried(study: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The trials that improved on all before them."""
    rows, least = list[tuple[str, ...]](), float("inf")
    for trial in study.get("trials", []):
        if trial["cost"] is not None and trial["cost"] < least:
            least = trial["cost"]
            rows.append((str(trial["number"]), f"{least:,}", f"{trial['score']:.4g}", trial["why"]))
    return rows


def _breakdown(program: BoardProgram) -> list[str]:
    """Cost by operator, and by distance."""
    away = distances(program.cells)
    costs = dict.fromkeys(OPERATORS, 0)
    for code, row in zip(program.operators.tolist(), program.sources, strict=True):
        costs[OPERATORS[min(code, CMP)]] += int(away[row].sum())
    rows = [(operator, f"{int(count):,}", f"{costs[operator]:,}") for operator, count in _counts(program) if count]
    rows.append(("outputs", f"{len(program.outputs):,}", f"{int(away[program.outputs].sum()):,}"))
    reads = np.bincount(away[np.concatenate([program.sources.ravel(), program.outputs])])
    by_distance = [(str(d), f"{int(n):,}", f"{int(n) * d:,}") for d, n in enumerate(reads) if d and n]
    inputs = away[program.inputs]
    layout = (
        f"{len(program.inputs) + len(program.targets):,} values, inputs included, share cells 1 to "
        f"{int(program.cells.max()):,}. Inputs lie at distances {int(inputs.min())} to {int(inputs.max())}."
    )
    return [
        "## Memory layout",
        layout,
        markdown_table(("distance", "reads", "cost"), by_distance),
        "## Cost breakdown",
        markdown_table(("operator", "instructions", "cost of its reads"), rows),
    ]


def _counts(program: BoardProgram) -> list[tuple[str, int]]:
    codes = np.minimum(program.operators, CMP)
    return list(zip(OPERATORS, np.bincount(codes, minlength=len(OPERATORS)).tolist(), strict=True))
