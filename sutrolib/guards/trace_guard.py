"""A seal around a fit: work that leaves PyTorch leaves the trace, so in here it is refused, or counted.

The access trace sees what PyTorch's dispatcher sees on this thread. Invisible to it are: the elements of a tensor as
plain numbers (``tolist``; a read by ``item`` is priced, what is then done with the number is not), its memory
(``numpy``, ``data_ptr``, storages), other threads and processes, other libraries, and operators run with the dispatch
mode switched off. The seal listens at three places:

* a ``TorchFunctionMode`` sees every call of PyTorch's Python interface: memory is refused, numbers are counted, and an
  operator that makes a tensor of which the dispatcher never hears is refused;
* a profile hook sees the calls of C functions and of modules that no trace looks into;
* a trace hook counts the Python instructions that are executed outside of PyTorch.

Numbers that leave cannot be forbidden (a decision is a number), and 31 packed words are a whole linear system; so what
is bounded beside their count is the Python work that is done between two operators. Python offers a determined author
other ways out (a C function called by ``map``, an edited interpreter): this finds programs that were written or evolved
to be cheap, and is no protection against malice.
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

_MEMORY = frozenset("numpy __array__ __dlpack__ data_ptr untyped_storage storage _typed_storage share_memory_".split())
_NUMBERS = frozenset("item tolist __bool__ __int__ __float__ __index__ __complex__ __repr__ __format__".split())
_NUMBERS |= {"_local_scalar_dense.default"}
_ANSWERS = frozenset("equal allclose is_nonzero __contains__".split())  # yes or no, of however many elements
_FOREIGN = frozenset(
    "numpy scipy numba pandas sklearn ctypes multiprocessing concurrent subprocess queue asyncio socket pickle marshal "
    "mmap sqlite3 shelve threading thread".split()
)
_STARTS = frozenset("start_new_thread fork forkpty fork_exec posix_spawn posix_spawnp system execv execve".split())
_INSIDE_TORCH = frozenset("_disable_current_modes _to_dlpack to_dlpack _storage_address _load load save".split())
_SWITCHES = ("_DisableTorchDispatch", "DisableTorchFunction")


class LeftTheTrace(RuntimeError):
    """Work would go on where no trace sees it; the message names the door."""


@dataclass
class Seal:
    """What was seen: elements that left as plain numbers by door, operators, and Python instructions outside PyTorch.

    ``broken`` names the first door that was refused. It stays where the program swallows the error.
    """

    allowed: float
    left: Counter[str] = field(default_factory=Counter)
    operators: int = 0
    instructions: int = 0
    broken: str = ""

    def refuse(self, door: str) -> None:
        """Raise LeftTheTrace, and remember it."""
        self.broken = self.broken or door
        raise LeftTheTrace(f"{door}: no trace sees what is done there, accepted are PyTorch's operators")

    def leave(self, door: str, elements: int) -> None:
        """Count elements that leave as plain numbers, and refuse them beyond ``allowed``."""
        self.left[door] += elements
        if self.left.total() > self.allowed:
            self.refuse(f"{door}, {self.left.total():,} elements as plain numbers, of {self.allowed:,.0f} allowed")


@contextmanager
def sealed(allowed: float = math.inf) -> Iterator[Seal]:
    """Refuse every way out of PyTorch in this block, but for ``allowed`` elements that leave as plain numbers.

    Raises LeftTheTrace at the door, and once more at the end where the block has swallowed it. What others have asked
    the garbage collector to call, as IPython does, waits until the block is over: it is no work of the block.
    """
    seal = Seal(allowed)
    gc.collect()
    callbacks = gc.callbacks[:]
    traced, profiled = sys.gettrace(), sys.getprofile()
    switches = {name: getattr(torch._C, name) for name in _SWITCHES}
    heard = _Heard(seal)
    with heard, _Doors(seal, heard):
        for name in switches:
            setattr(torch._C, name, lambda name=name: seal.refuse(f"torch._C.{name}"))
        gc.callbacks.clear()
        sys.setprofile(_profile_hook(seal))
        sys.settrace(_trace_hook(seal))
        try:
            yield seal
        finally:
            sys.settrace(traced)
            sys.setprofile(profiled)
            for name, switch in switches.items():
                setattr(torch._C, name, switch)
            gc.callbacks[:0] = callbacks
    if seal.broken:
        raise LeftTheTrace(f"{seal.broken}, and the error was swallowed")


class _Heard(TorchDispatchMode):
    """Counts the operators that reach the dispatcher."""

    def __init__(self, seal: Seal) -> None:
        super().__init__()
        self.seal = seal

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seal.operators += 1
        return func(*args, **(kwargs or {}))


class _Doors(TorchFunctionMode):
    """Stands at the calls of PyTorch's Python interface."""

    def __init__(self, seal: Seal, heard: _Heard) -> None:
        super().__init__()
        self.seal, self.heard = seal, heard

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _MEMORY:
            self.seal.refuse(f"Tensor.{name}")
        if name in _NUMBERS:
            self.seal.leave(f"Tensor.{name}", args[0].numel())
        if name in _ANSWERS:
            self.seal.leave(name, 1)
        before = self.seal.operators
        result = func(*args, **(kwargs or {}))
        new = isinstance(result, torch.Tensor) and name != "__get__" and not any(result is given for given in args)
        if new and result.numel() and self.seal.operators == before:
            self.seal.refuse(f"{name} with PyTorch's dispatch mode switched off")
        return result


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _by_torch(frame: FrameType | None) -> bool:
    """Whether the standard library's code that runs in ``frame`` runs for PyTorch, or for the seal itself."""
    while frame is not None and _root(frame) in sys.stdlib_module_names and _root(frame) != "__main__":
        frame = frame.f_back
    return frame is None or _root(frame) == "torch" or frame.f_globals.get("__name__") == __name__


def _profile_hook(seal: Seal) -> Callable[[FrameType, str, Any], None]:
    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__") != __name__:
            if _by_torch(frame.f_back):
                return
            name, root = frame.f_code.co_name, _root(frame)
            if root in _FOREIGN or (root == "torch" and name in _INSIDE_TORCH):
                seal.refuse(f"{frame.f_globals['__name__']}.{name}")
        elif event == "c_call":
            name = getattr(argument, "__name__", "")
            if name in _STARTS:
                seal.refuse(f"{name}, another thread or process")
            if _by_torch(frame):
                return
            owner = getattr(argument, "__module__", None) or type(getattr(argument, "__self__", None)).__module__
            root = str(owner).lstrip("_").partition(".")[0]
            if root in _FOREIGN or name in _INSIDE_TORCH or (root == "io" and name == "open"):
                seal.refuse(f"{owner}.{name}")

    return hook


def _trace_hook(seal: Seal) -> Callable[[FrameType, str, Any], Any]:
    def count(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            seal.instructions += 1
        return count

    def hook(frame: FrameType, event: str, argument: Any) -> Any:
        if _by_torch(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return count

    return hook
