"""The process in which a file of Python for a board runs: a solver of sparse parity, or an optimizer.

The file comes in, and costs and shares go out as JSON; what the file prints is dropped. It runs beside the code that
scores it, as on the public boards, so it could change its score: read a file before you score it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sutrolib.boards.attention_teacher import AttentionTeacher
from sutrolib.boards.buffer_clock import SEEDS, load_solver, names_in, score_solver
from sutrolib.boards.registry import FILES, OPTIMIZER, SOLVER


def load_optimizer(text: str) -> type[torch.optim.Optimizer]:
    """The class ``Submission`` of a file, which is made as ``Submission(model.parameters())``.

    Raises ValueError for a text that cannot be run, or that defines no such optimizer.
    """
    names = names_in(text, FILES[OPTIMIZER], {"__name__": "submission"})
    found = names.get("Submission")
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise ValueError("it defines no class Submission(torch.optim.Optimizer)")
    return found


def _solve(solve: Callable[..., Any]) -> list[tuple[float, float]]:
    found = []
    for seed in SEEDS:
        try:
            found.append(score_solver(solve, seed))
        except Exception as error:  # a file may do anything
            raise RuntimeError(_said("solve()", error, f" on seed {seed}")) from error
    return found


def _train(make: Callable[..., torch.optim.Optimizer]) -> list[tuple[float, float]]:
    torch.set_num_threads(1)  # as the public harness does
    try:
        loss = AttentionTeacher().score(make)
    except Exception as error:  # a file may do anything
        raise RuntimeError(_said("the optimizer", error)) from error
    if not math.isfinite(loss):
        raise RuntimeError(f"the training diverges: its error is {loss}")
    return [(loss, 1.0)]


def _said(what: str, error: Exception, where: str = "") -> str:
    """The error, with its line in the file where it has one, as it may also come from what the file gave back."""
    traceback.print_exception(error)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in FILES.values()]
    line = f" (line {lines[-1]})" if lines else ""
    return f"{what} raises {type(error).__name__}{where}: {str(error)[:200]}{line}"


_Run = Callable[[Any], list[tuple[float, float]]]
_KINDS: Mapping[str, tuple[Callable[[str], Any], _Run]] = {
    SOLVER: (load_solver, _solve),
    OPTIMIZER: (load_optimizer, _train),
}


def _main(kind: str) -> None:
    result = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    text = sys.stdin.buffer.read().decode(errors="replace")
    load, score = _KINDS[kind]
    found: dict[str, Any]
    try:
        made = load(text)
    except ValueError as error:
        found = {"refused": str(error)}
    else:
        try:
            found = {"runs": score(made)}
        except RuntimeError as error:
            found = {"failed": str(error)}
    json.dump(found, result)
    result.close()


if __name__ == "__main__":
    _main(sys.argv[1])
