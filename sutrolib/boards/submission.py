"""The process in which a file of Python for a board runs: a solver of sparse parity, or an optimizer.

The file comes in, and costs and shares go out as JSON; what the file prints is dropped. It runs beside the code that
scores it, as on the public boards, so it could change its score: read a file before you score it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from sutrolib.boards.attention_teacher import AttentionTeacher
from sutrolib.boards.buffer_clock import SEEDS, load_solver, names_in, score_solver
from sutrolib.boards.registry import FILES, OPTIMIZER, READER, SOLVER
from sutrolib.problems.whitened_digits import WhitenedDigits

_MAX_BYTES, _LEAST_SHARE = 20_480, 0.15  # of a reader's file, and of the rows of Fashion-MNIST that it gets right


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


def load_reader(text: str) -> Callable[..., Any]:
    """The function ``my_method(train_x, train_y, test_x)`` of a file.

    Raises ValueError for a text that is too long, that cannot be run, or that defines no such function.
    """
    if len(text.encode()) > _MAX_BYTES:
        raise ValueError(f"it must have at most {_MAX_BYTES:,} bytes (got {len(text.encode()):,})")
    found: Callable[..., Any] | None = names_in(text, FILES[READER], {"__name__": "method"}).get("my_method")
    if not callable(found):
        raise ValueError("it defines no function my_method(train_x, train_y, test_x)")
    return found


def read_digits(method: Callable[..., Any], problems: Iterable[WhitenedDigits]) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds and share of rows right of a call on each problem, by its images; the first is called twice.

    Raises RuntimeError where the method fails, or does not return a label for each row.
    """
    found = dict[str, list[tuple[float, float]]]()
    for number, problem in enumerate(problems):
        task = problem.sample(int.from_bytes(os.urandom(4), "little"))  # nobody knows the draw before
        expected, ms = task.test_split.y[:, 0], 0.0
        for _ in range(1 if number else 2):  # what is compiled at first is not timed
            began = time.perf_counter()
            try:
                labels = method(task.train.x.clone(), task.train.y[:, 0].clone(), task.test_split.x.clone())
                right = (labels.reshape(expected.shape) == expected).double().mean().item()
            except Exception as error:  # a file may do anything
                raise RuntimeError(_said("my_method()", error)) from error
            ms = 1000 * (time.perf_counter() - began)
        found.setdefault(problem.images, []).append((ms, right))
    return found


def _read(method: Callable[..., Any]) -> list[tuple[float, float]]:
    digits, clothes = WhitenedDigits("mnist"), WhitenedDigits("fashion")
    found = read_digits(method, (digits, clothes, digits, digits))
    (ms, share), (other_ms, other_share) = (np.mean(found[name], axis=0).tolist() for name in ("mnist", "fashion"))
    if other_share < _LEAST_SHARE:
        raise RuntimeError(f"{other_share:.1%} of Fashion-MNIST are right (the board needs {_LEAST_SHARE:.0%})")
    return [(max(ms, other_ms), share)]


_Run = Callable[[Any], list[tuple[float, float]]]
_KINDS: Mapping[str, tuple[Callable[[str], Any], _Run]] = {
    SOLVER: (load_solver, _solve),
    OPTIMIZER: (load_optimizer, _train),
    READER: (load_reader, _read),
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
