"""A guard around a fit: it refuses work that leaves PyTorch, and so the access trace, or counts it.

The trace sees what PyTorch's dispatcher sees on this thread. It does not see the elements of a tensor as plain numbers
(``tolist``; a read by ``item`` is priced, but not what happens to the number), the memory of a tensor (``numpy``,
``data_ptr``, storages), other threads and processes, other libraries, and operators run with the dispatch mode switched
off. The guard listens in three places:

* a ``TorchFunctionMode`` sees every call of PyTorch's Python interface: it refuses access to memory, counts elements
  read as numbers, and refuses an operator that makes a tensor without the dispatcher;
* a profile hook sees calls of C functions, and of modules that no trace looks into;
* a trace hook counts the Python instructions executed outside of PyTorch.

Whoever asks whether a guard or a trace is there (``sys.getprofile``, the modes of PyTorch, the frames of the callers,
the environment) is refused as well. And there is :func:`audited`, which nobody can ask for: an audit hook of Python
hears threads, processes, foreign functions and files, and leaves no profile, trace function or mode behind.

Reading numbers cannot be forbidden (a decision is a number), and 31 packed words are a whole linear system. So the
Python work between two operators is limited as well. Python offers a determined author other ways out (a C function
called by ``map``, an edited interpreter): the guard finds programs written or evolved to look cheap, and is no
protection against malice.
"""

from __future__ import annotations

import cProfile
import gc
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sutrolib.meters.access import other_threads

_MEMORY_ACCESS = frozenset(
    "numpy __array__ __dlpack__ data_ptr untyped_storage storage _typed_storage share_memory_".split()
)
_NUMBERS = frozenset("item tolist __bool__ __int__ __float__ __index__ __complex__ __repr__ __format__".split())
_NUMBERS |= {"_local_scalar_dense.default"}
_COMPARISONS = frozenset("equal allclose is_nonzero __contains__".split())  # yes or no, for any number of elements
_OTHER_MODULES = frozenset(
    "numpy scipy numba pandas sklearn ctypes multiprocessing concurrent subprocess queue asyncio socket pickle marshal "
    "mmap sqlite3 shelve threading thread os posix nt inspect traceback sysconfig tracemalloc faulthandler".split()
)
_PROCESS_STARTS = frozenset(
    "start_new_thread fork forkpty fork_exec posix_spawn posix_spawnp system execv execve".split()
)
_TORCH_INTERNALS = frozenset("_disable_current_modes _to_dlpack to_dlpack _storage_address _load load save".split())
_ASKING = frozenset(  # whether somebody watches, and who
    "getprofile gettrace setprofile settrace _getframe _getframemodulename _current_frames addaudithook get_objects"
    " get_referrers _get_current_dispatch_mode _get_current_dispatch_mode_stack _len_torch_dispatch_stack"
    " _get_dispatch_stack_at is_in_torch_dispatch_mode _get_current_function_mode _get_current_function_mode_stack"
    " _len_torch_function_stack _get_function_stack_at _is_torch_function_mode_enabled".split()
)
_AUDITED = frozenset(
    "_thread.start_new_thread os.fork os.forkpty os.posix_spawn os.spawn os.exec os.system subprocess.Popen open"
    " socket.connect mmap.__new__ ctypes.dlopen ctypes.dlsym ctypes.call_function sys._getframe sys._current_frames"
    " sys.setprofile sys.settrace sys.addaudithook gc.get_objects gc.get_referrers".split()
) | {other_threads.THREAD_STARTED}
_DISPATCH_SWITCHES = ("_DisableTorchDispatch", "DisableTorchFunction")


class UntracedWork(RuntimeError):
    """Work would go on where no trace sees it; the message names the call."""


class TraceGuard(TorchFunctionMode):
    """Sees the calls of PyTorch's Python interface, and the calls and instructions of Python.

    Counts elements read as plain numbers by call, operators, and Python instructions outside PyTorch. ``violation``
    names the first call that was refused, even if the program swallows the error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.work: Counter[str] = Counter()  # at the end: as OperatorCounter has it
        self.operators = self.instructions = 0
        self.violation = ""

    def refuse(self, call: str) -> None:
        """Raise UntracedWork, and remember it."""
        self.violation = self.violation or call
        raise UntracedWork(f"{call}: no trace sees this work; use PyTorch's operators")

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _MEMORY_ACCESS:
            self.refuse(f"Tensor.{name}")
        if name in _NUMBERS:
            self.elements[f"Tensor.{name}"] += args[0].numel()
        if name in _COMPARISONS:
            self.elements[name] += 1
        before = self.operators
        result = func(*args, **(kwargs or {}))
        new = isinstance(result, torch.Tensor) and name != "__get__" and not any(result is given for given in args)
        if new and result.numel() and self.operators == before:
            self.refuse(f"{name} with PyTorch's dispatch mode switched off")
        return result

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """The profile hook: refuse modules and C functions that no trace looks into."""
        if event == "call" and frame.f_globals.get("__name__") != __name__:
            name, root = frame.f_code.co_name, _root(frame)
            refused = root in _OTHER_MODULES or (root == "torch" and name in _TORCH_INTERNALS | _ASKING)
            if refused and not _by_torch(frame.f_back):
                self.refuse(f"{frame.f_globals['__name__']}.{name}")
        elif event == "c_call":
            name = getattr(argument, "__name__", "")
            if name in _PROCESS_STARTS:
                self.refuse(f"{name}, another thread or process")
            if name in _ASKING and not _by_torch(frame):
                self.refuse(f"{name}, a question whether somebody watches")
            owner = getattr(argument, "__module__", None) or type(getattr(argument, "__self__", None)).__module__
            root = str(owner).lstrip("_").partition(".")[0]
            refused = root in _OTHER_MODULES or name in _TORCH_INTERNALS or (root == "io" and name == "open")
            if refused and not _by_torch(frame):
                self.refuse(f"{owner}.{name}")

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        """The trace hook: count the instructions of frames that do not run for PyTorch."""
        if _by_torch(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    def _count(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.instructions += event == "opcode"
        return self._count


class OperatorCounter(TorchDispatchMode):
    """Counts the operators that reach the dispatcher, and by operator the elements of its results (``work``)."""

    def __init__(self, guard: TraceGuard | None = None) -> None:
        super().__init__()
        self.guard = guard or TraceGuard()
        self.work: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        self.guard.operators += 1
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else (result,)
        self.work[str(func)] += sum(part.numel() if isinstance(part, torch.Tensor) else 1 for part in parts)
        return result


@contextmanager
def trace_guard() -> Iterator[TraceGuard]:
    """Refuse every way out of PyTorch in this block, and count elements read as plain numbers.

    Raises UntracedWork at the call, and again at the end if the block swallowed it. Callbacks of the garbage collector
    (IPython has one) are off within the block: they are not its work.
    """
    guard = TraceGuard()
    counter = OperatorCounter(guard)
    gc.collect()
    callbacks = gc.callbacks[:]
    traced, profiled = sys.gettrace(), sys.getprofile()
    switches = {name: getattr(torch._C, name) for name in _DISPATCH_SWITCHES}
    with counter, guard:
        for name in switches:
            setattr(torch._C, name, lambda name=name: guard.refuse(f"torch._C.{name}"))
        gc.callbacks.clear()
        sys.setprofile(guard.profile)
        sys.settrace(guard.trace)
        try:
            yield guard
        finally:
            sys.settrace(traced)
            sys.setprofile(profiled if callable(profiled) else None)
            if isinstance(profiled, cProfile.Profile):  # it is no function
                profiled.enable()
            for name, switch in switches.items():
                setattr(torch._C, name, switch)
            gc.callbacks[:0] = callbacks
            guard.work = counter.work
    if guard.violation:
        raise UntracedWork(f"{guard.violation}, and the error was swallowed")


_audits: list[tuple[int, list[str]]] = []  # the threads that are listened to, and what was heard of them


def _hear(event: str, _: tuple[Any, ...]) -> None:
    """The audit hook: Python cannot remove one, so there is one for all blocks."""
    if _audits and event in _AUDITED:
        heard = [found for thread, found in _audits if thread == threading.get_ident()]
        try:
            raise LookupError  # its traceback has the frame; sys._getframe would be heard itself
        except LookupError as error:
            frame = error.__traceback__.tb_frame.f_back if error.__traceback__ else None
        if heard and not _by_torch(frame):
            heard[-1].append(event)


sys.addaudithook(_hear)


@contextmanager
def audited() -> Iterator[list[str]]:
    """Hear what this thread does beside PyTorch in this block, unseen: threads, processes, foreign functions, files."""
    heard: list[str] = []
    listening = threading.get_ident(), heard
    _audits.append(listening)
    other_threads.begin_watching(listening)  # it tells the hook of threads, as Python itself does only from 3.12 on
    try:
        yield heard
    finally:
        other_threads.end_watching(listening)
        _audits.remove(listening)


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _by_torch(frame: FrameType | None) -> bool:
    """Whether the standard library's code that runs in ``frame`` runs for PyTorch, or for the guard itself."""
    passed = sys.stdlib_module_names - {"__main__"} | {other_threads.__name__}
    while frame is not None and passed & {_root(frame), frame.f_globals.get("__name__")}:
        frame = frame.f_back
    return frame is None or _root(frame) == "torch" or frame.f_globals.get("__name__") == __name__
