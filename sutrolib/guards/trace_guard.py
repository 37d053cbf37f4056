"""A guard around a fit: it refuses work that leaves PyTorch, and so the access trace, or counts it.

The trace sees what PyTorch's dispatcher sees on this thread. It does not see the elements of a tensor as plain numbers
(``tolist``; a read by ``item`` is priced, but not what happens to the number), the memory of a tensor (``numpy``,
``data_ptr``, storages), other threads and processes, other libraries, and operators run with the dispatch mode switched
off. The guard listens in three places:

* a ``TorchFunctionMode`` sees every call of PyTorch's Python interface: it refuses access to memory, counts elements
  read as numbers, and refuses an operator that makes a tensor without the dispatcher;
* a profile hook sees calls of C functions, and of modules that no trace looks into;
* a trace hook counts the Python instructions executed outside of PyTorch.

Reading numbers cannot be forbidden (a decision is a number), and 31 packed words are a whole linear system. So the
Python work between two operators is limited as well. Python offers a determined author other ways out (a C function
called by ``map``, an edited interpreter): the guard finds programs written or evolved to look cheap, and is no
protection against malice.
"""

from __future__ import annotations

import gc
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_MEMORY_ACCESS = frozenset(
    "numpy __array__ __dlpack__ data_ptr untyped_storage storage _typed_storage share_memory_".split()
)
_NUMBERS = frozenset("item tolist __bool__ __int__ __float__ __index__ __complex__ __repr__ __format__".split())
_NUMBERS |= {"_local_scalar_dense.default"}
_COMPARISONS = frozenset("equal allclose is_nonzero __contains__".split())  # yes or no, for any number of elements
_OTHER_MODULES = frozenset(
    "numpy scipy numba pandas sklearn ctypes multiprocessing concurrent subprocess queue asyncio socket pickle marshal "
    "mmap sqlite3 shelve threading thread".split()
)
_PROCESS_STARTS = frozenset(
    "start_new_thread fork forkpty fork_exec posix_spawn posix_spawnp system execv execve".split()
)
_TORCH_INTERNALS = frozenset("_disable_current_modes _to_dlpack to_dlpack _storage_address _load load save".split())
_DISPATCH_SWITCHES = ("_DisableTorchDispatch", "DisableTorchFunction")


class UntracedWork(RuntimeError):
    """Work would go on where no trace sees it; the message names the call."""


@dataclass
class TraceGuard:
    """The counts: elements read as plain numbers by call, operators, and Python instructions outside PyTorch.

    ``violation`` names the first call that was refused, even if the program swallows the error.
    """

    max_elements: float
    elements: Counter[str] = field(default_factory=Counter)
    operators: int = 0
    instructions: int = 0
    violation: str = ""

    def refuse(self, call: str) -> None:
        """Raise UntracedWork, and remember it."""
        self.violation = self.violation or call
        raise UntracedWork(f"{call}: no trace sees this work; use PyTorch's operators")

    def count_elements(self, call: str, elements: int) -> None:
        """Count elements read as plain numbers; refuse more than ``max_elements``."""
        self.elements[call] += elements
        if self.elements.total() > self.max_elements:
            self.refuse(
                f"{call}, {self.elements.total():,} elements read as numbers ({self.max_elements:,.0f} allowed)"
            )


@contextmanager
def trace_guard(max_elements: float = math.inf) -> Iterator[TraceGuard]:
    """Refuse every way out of PyTorch in this block, except reading up to ``max_elements`` as plain numbers.

    Raises UntracedWork at the call, and again at the end if the block swallowed it. Callbacks of the garbage collector
    (IPython has one) are off within the block: they are not its work.
    """
    guard = TraceGuard(max_elements)
    gc.collect()
    callbacks = gc.callbacks[:]
    traced, profiled = sys.gettrace(), sys.getprofile()
    switches = {name: getattr(torch._C, name) for name in _DISPATCH_SWITCHES}
    with _OperatorCounter(guard), _ApiInterceptor(guard):
        for name in switches:
            setattr(torch._C, name, lambda name=name: guard.refuse(f"torch._C.{name}"))
        gc.callbacks.clear()
        sys.setprofile(_profile_hook(guard))
        sys.settrace(_trace_hook(guard))
        try:
            yield guard
        finally:
            sys.settrace(traced)
            sys.setprofile(profiled)
            for name, switch in switches.items():
                setattr(torch._C, name, switch)
            gc.callbacks[:0] = callbacks
    if guard.violation:
        raise UntracedWork(f"{guard.violation}, and the error was swallowed")


class _OperatorCounter(TorchDispatchMode):
    """Counts the operators that reach the dispatcher."""

    def __init__(self, guard: TraceGuard) -> None:
        super().__init__()
        self.guard = guard

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.guard.operators += 1
        return func(*args, **(kwargs or {}))


class _ApiInterceptor(TorchFunctionMode):
    """Sees the calls of PyTorch's Python interface."""

    def __init__(self, guard: TraceGuard) -> None:
        super().__init__()
        self.guard = guard

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _MEMORY_ACCESS:
            self.guard.refuse(f"Tensor.{name}")
        if name in _NUMBERS:
            self.guard.count_elements(f"Tensor.{name}", args[0].numel())
        if name in _COMPARISONS:
            self.guard.count_elements(name, 1)
        before = self.guard.operators
        result = func(*args, **(kwargs or {}))
        new = isinstance(result, torch.Tensor) and name != "__get__" and not any(result is given for given in args)
        if new and result.numel() and self.guard.operators == before:
            self.guard.refuse(f"{name} with PyTorch's dispatch mode switched off")
        return result


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _by_torch(frame: FrameType | None) -> bool:
    """Whether the standard library's code that runs in ``frame`` runs for PyTorch, or for the guard itself."""
    while frame is not None and _root(frame) in sys.stdlib_module_names and _root(frame) != "__main__":
        frame = frame.f_back
    return frame is None or _root(frame) == "torch" or frame.f_globals.get("__name__") == __name__


def _profile_hook(guard: TraceGuard) -> Callable[[FrameType, str, Any], None]:
    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__") != __name__:
            if _by_torch(frame.f_back):
                return
            name, root = frame.f_code.co_name, _root(frame)
            if root in _OTHER_MODULES or (root == "torch" and name in _TORCH_INTERNALS):
                guard.refuse(f"{frame.f_globals['__name__']}.{name}")
        elif event == "c_call":
            name = getattr(argument, "__name__", "")
            if name in _PROCESS_STARTS:
                guard.refuse(f"{name}, another thread or process")
            if _by_torch(frame):
                return
            owner = getattr(argument, "__module__", None) or type(getattr(argument, "__self__", None)).__module__
            root = str(owner).lstrip("_").partition(".")[0]
            if root in _OTHER_MODULES or name in _TORCH_INTERNALS or (root == "io" and name == "open"):
                guard.refuse(f"{owner}.{name}")

    return hook


def _trace_hook(guard: TraceGuard) -> Callable[[FrameType, str, Any], Any]:
    def count(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            guard.instructions += 1
        return count

    def hook(frame: FrameType, event: str, argument: Any) -> Any:
        if _by_torch(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return count

    return hook
