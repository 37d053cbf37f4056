"""measure(problem, model, meters, seed) -> Measurement: one run, weighed in separate passes.

The clean pass trains once more for each meter with a window (seconds, joules), which holds the machine-wide lock;
the traced pass trains under the access trace, for all counts at once. So tracing never inflates a timing, and no two
timings on one machine overlap. The model is given the task without its test split; the score is computed here.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sutrolib import __version__
from sutrolib.cube import RUNGS, Axis
from sutrolib.meters.base import Meter, NoReading, Reading
from sutrolib.meters.clock import WallTime
from sutrolib.meters.trace import TorchTrace, TracedMeter
from sutrolib.nouns import Budget, Fitted, Model, Problem, Task, describe
from sutrolib.places import ROOT

BY_HAND = RUNGS[Axis.PROCESS][0].key


@dataclass(frozen=True)
class Measurement:
    """One run of one model on one task with every reading taken of it; ``missing`` holds why a meter had none."""

    problem: Mapping[str, Any]
    model: Mapping[str, Any]
    told: str
    seed: int
    score_name: str
    score: float
    target: float
    readings: tuple[Reading, ...]
    rungs: Mapping[str, str]  # where on the process and the problem axis the run stands
    missing: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    when: str = ""

    @property
    def solved(self) -> bool:
        """Whether the score reached the problem's target."""
        return self.score >= self.target

    def reading(self, name: str) -> Reading:
        """The reading of this name. Raises KeyError that lists those there are, and why this one is missing."""
        for reading in self.readings:
            if reading.name == name:
                return reading
        why = f" ({self.missing[name]})" if name in self.missing else ""
        raise KeyError(f"no reading {name!r}{why}; there are {', '.join(r.name for r in self.readings)}")


def measure(
    problem: Problem,
    model: Model,
    meters: Sequence[Meter],
    seed: int,
    *,
    budget: Budget | None = None,
    process: str = BY_HAND,
    only_solved: bool = False,
) -> Measurement:
    """Train ``model`` on the task of ``seed`` once for every pass that ``meters`` need, and score it.

    Wall-clock time is always measured. With ``only_solved``, a run whose score misses the target is timed and not
    weighed any further. A meter that cannot work here or saw nothing leaves no reading, and its reason in ``missing``.
    Whatever the training raises is raised.
    """
    task = problem.sample(seed)
    hidden = task.for_training()
    clocks = [m for m in meters if isinstance(m, WallTime)] or [WallTime()]
    readings: list[Reading] = []
    missing: dict[str, str] = {}

    def fit() -> Fitted:
        return model.fit(hidden, seed, budget)

    fitted = _read_window(clocks[0], fit, readings, missing)
    score = score_of(task, fitted)
    weigh = score >= task.target or not only_solved
    traced = [m for m in meters if isinstance(m, TracedMeter)]
    windows = [m for m in meters if not isinstance(m, TracedMeter | WallTime)]
    if weigh:
        if traced:
            trace = _trace(fit)
            for meter in traced:
                _keep(meter, functools.partial(meter.read, trace), readings, missing)
        for window in windows:
            if window.available().ok:
                _read_window(window, fit, readings, missing)
            else:
                missing[window.name] = window.available().why
    else:
        why = f"not weighed, as the score of {score:.3g} misses the target of {task.target:g}"
        missing |= {meter.name: why for meter in (*traced, *windows)}
    return Measurement(
        problem=describe(problem),
        model=describe(model),
        told=model.told,
        seed=seed,
        score_name=task.score_name,
        score=score,
        target=task.target,
        readings=tuple(readings),
        rungs={"process": process, "problem": problem.rung},
        missing=missing,
        machine=machine(),
        versions=versions(),
        commit=commit(),
        when=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def score_of(task: Task, fitted: Fitted) -> float:
    """The score of ``fitted`` on the test split of ``task``."""
    if task.test is None:
        raise ValueError("this task has no test split: it is a copy made for training")
    return task.score(fitted.predict(task.test.x), task.test.y)


def trace_one_step(problem: Problem, model: Any, seed: int = 0) -> TorchTrace:
    """The access trace of a model's first training step, its buffers loaded first, in the model's own order."""
    buffers, step = model.one_step(problem.sample(seed).for_training(), seed)
    trace = TorchTrace()
    with trace:
        trace.place(buffers)
        step()
    return trace


def _trace(fit: Any) -> TorchTrace:
    trace = TorchTrace()
    with trace:
        fit()
    return trace


def _read_window(meter: Meter, fit: Any, readings: list[Reading], missing: dict[str, str]) -> Fitted:
    with meter:
        fitted: Fitted = meter.repeat(fit)
    _keep(meter, lambda: meter.reading, readings, missing)
    return fitted


def _keep(meter: Meter, read: Any, readings: list[Reading], missing: dict[str, str]) -> None:
    try:
        readings.append(read())
    except NoReading as error:
        missing[meter.name] = str(error)


@functools.cache
def machine() -> dict[str, Any]:
    """What the numbers were taken on: system, processor, cores, memory, graphics card. No name of the host or user."""
    import psutil
    import torch

    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    names = re.findall(r"model name\s*:\s*(.+)", listing.read_text()) if listing.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python, this library and what it computes with."""
    packages = ("torch", "numpy", "scipy", "codecarbon")
    found = {"python": platform.python_version(), "sutrolib": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> str:
    """The git commit of this checkout, with ``+`` when files differ from it; empty outside a repository."""
    try:
        head, changes = (
            subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10).stdout
            for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.strip() + ("+" if changes.strip() else "")
