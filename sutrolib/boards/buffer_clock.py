"""Data movement of numpy code by a clock of buffers: the scale of the public sparse parity leaderboard.

    cost = sum over reads of size * sqrt(clock at the read - clock when the buffer was last written)

The clock advances by the size of everything read or written. A buffer is one array, whatever part of it is touched: a
write to one element makes the whole array young (github.com/cybertronai/sparse-parity-challenge, tracker.py and
tracked_numpy.py, whose rules are stated here in our words):

* indexing reads as many elements as it gives, and an array that it gives is a new buffer, written at once. Numbers are
  free from there on;
* a numpy function or operator reads every tracked array it is given, in full, and an array it gives is a new buffer;
  in place (``out=``, ``^=``) it writes its target. ``copy`` and ``astype`` do both, ``tolist`` only reads;
* assigning to elements reads the assigned array and writes as many elements as are assigned to. Numpy takes a slice
  that is assigned to by indexing, which is priced as such, and so is iteration;
* views (``reshape``, ``ravel``, ``T``) are the same buffer, and free. ``zeros_like`` reads nothing;
* ``np.zeros``, ``np.ones`` and ``np.empty`` write a new buffer while a program runs.

Two holes of the public scale are kept, as scores must agree: ``np.asarray`` gives a plain array for free, and results
in a tuple (``np.nonzero``) are plain. It has nothing to do with :mod:`sutrolib.meters.programs.write_stack`, whose
elements are single numbers on a stack and whose reads move nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from sutrolib.boards.registry import FILES, SOLVER

SEEDS = (42, 123, 456)
N_BITS, K_SPARSE, ROWS, MIN_ACCURACY = 20, 3, 500, 0.95
# What the public harness looks for in the text before it runs it.
_MODULES = ("os", "sys", "subprocess", "shutil", "socket", "http", "urllib")
REFUSED = (*(f"import {module}" for module in _MODULES), "__import__", "exec(", "eval(", "compile(", "open(")


class BufferClock:
    """The clock, and what reads have cost so far."""

    def __init__(self) -> None:
        self.now = 0
        self.cost = 0.0

    def track(self, values: np.ndarray) -> TrackedArray:
        """The same values as a new buffer, written now."""
        tracked = np.asarray(values).view(TrackedArray)
        tracked.buffer = _Buffer(self)
        tracked.buffer.write(values.size)
        return tracked


class _Buffer:
    """One array: when it was last written."""

    def __init__(self, clock: BufferClock) -> None:
        self.clock = clock
        self.written = 0

    def write(self, size: int) -> None:
        self.written = self.clock.now
        self.clock.now += size

    def read(self, size: int) -> None:
        self.clock.cost += size * math.sqrt(self.clock.now - self.written)
        self.clock.now += size


class TrackedArray(np.ndarray):
    """An array whose reads and writes advance a clock."""

    buffer: _Buffer | None

    def __array_finalize__(self, source: Any) -> None:
        self.buffer = getattr(source, "buffer", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_read(value) if isinstance(value, TrackedArray) else value for value in inputs]
        targets = options.get("out", ())
        if targets:
            options["out"] = tuple(map(_plain, targets))
        result = getattr(ufunc, method)(*plain, **options)
        if not targets:
            return self._track(result) if not isinstance(result, tuple) else tuple(map(self._track, result))
        for target in targets:
            if isinstance(target, TrackedArray) and target.buffer:
                target.buffer.write(target.size)
        return targets[0] if len(targets) == 1 else targets

    def __array_function__(self, function: Callable[..., Any], types: Any, arguments: Any, options: Any) -> Any:
        take = _plain if function is np.zeros_like else _read
        plain = [take(value) for value in arguments]
        return self._track(function(*plain, **{name: take(value) for name, value in options.items()}))

    def __getitem__(self, key: Any) -> Any:
        result = super().__getitem__(key)
        if self.buffer:
            self.buffer.read(result.size if isinstance(result, np.ndarray) else 1)
        return self._track(result)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, TrackedArray) and value.buffer:
            value.buffer.read(value.size)
        super().__setitem__(key, value)
        if self.buffer:
            self.buffer.write(np.size(_plain(self)[key]))

    def copy(self, order: Any = "C") -> Any:
        return self._track(_read(self).copy(order))

    def astype(self, dtype: Any, **options: Any) -> Any:  # type: ignore[override]
        return self._track(_read(self).astype(dtype, **options))

    def sum(self, axis: Any = None, **options: Any) -> Any:  # type: ignore[override]
        return self._track(_read(self).sum(axis, **options))

    def tolist(self) -> Any:
        return _read(self).tolist()

    def _track(self, result: Any) -> Any:
        if not isinstance(result, np.ndarray) or self.buffer is None:
            return result
        return self.buffer.clock.track(result)


def _plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, TrackedArray) else value


def _read(value: Any) -> Any:
    """The value without its tracking; tracked arrays in it, also in lists and tuples, are read in full."""
    if isinstance(value, list | tuple):
        return type(value)(map(_read, value))
    if isinstance(value, TrackedArray) and value.buffer:
        value.buffer.read(value.size)
    return _plain(value)


@contextmanager
def tracking(clock: BufferClock) -> Iterator[None]:
    """Make what ``np.zeros``, ``np.ones`` and ``np.empty`` give within the block tracked arrays."""

    def tracked(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda *arguments, **options: clock.track(make(*arguments, **options))

    with mock.patch.multiple(np, zeros=tracked(np.zeros), ones=tracked(np.ones), empty=tracked(np.empty)):
        yield


def public_data(seed: int, secret: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Inputs (500, 20) of -1 and 1, labels (500,), and the secret of this seed, or labels by a given one."""
    rng = np.random.RandomState(seed)  # the public harness uses this generator, in this order
    own = tuple(sorted(rng.choice(N_BITS, K_SPARSE, replace=False).tolist()))
    x = rng.choice([-1.0, 1.0], size=(ROWS, N_BITS))
    secret = secret or own
    return x, np.prod(x[:, secret], axis=1), secret


def names_in(text: str, file: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a file that is handed in defines, beside the ``given`` names. Raises ValueError where it cannot be run."""
    names = dict(given)
    try:
        exec(compile(text, file, "exec"), names)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except Exception as error:  # a file may do anything
        raise ValueError(f"it cannot be loaded: {type(error).__name__}: {error}") from error
    return names


def load_solver(text: str) -> Callable[..., Any]:
    """The function ``solve(x, y, n_bits, k_sparse)`` of a file. It is run as it is: read a file before you score it.

    Raises ValueError for a text that the public harness refuses, that cannot be run, or defines no ``solve``.
    """
    if found := next((word for word in REFUSED if word in text), None):
        line = text[: text.index(found)].count("\n") + 1
        raise ValueError(f"line {line}: {found!r} is not allowed; use only numpy")
    names = names_in(text, FILES[SOLVER], {"np": np, "numpy": np})
    solve: Callable[..., Any] | None = names.get("solve")
    if not callable(solve):
        raise ValueError("it defines no function solve(x, y, n_bits, k_sparse)")
    return solve


def score_solver(solve: Callable[..., Any], seed: int) -> tuple[float, float]:
    """Cost on the public data of this seed, and accuracy on 500 fresh rows. An exception of ``solve`` passes."""
    x, y, secret = public_data(seed)
    clock = BufferClock()
    with tracking(clock):
        found = solve(clock.track(x), clock.track(y), N_BITS, K_SPARSE)
    bits = sorted(int(bit) for bit in found)
    test_x, test_y, _ = public_data(seed + 1000, secret)
    return clock.cost, float(np.mean(np.prod(test_x[:, bits], axis=1) == test_y)) if bits else 0.0
