"""A Dask cluster: workers on this machine, or those of a scheduler that is already there (docs.dask.org).

A worker of this machine is a process of one thread. Only the first has the resource ``meter``, so that work which needs
it never runs twice at once on one host; on a cluster of several machines, one worker for each host is started with it.

Nothing needs to be installed for the workers but what requirements.txt lists: a task puts the checkout that it was sent
from on the worker's path, which has to be on a disk that they share. A worker that imported the library before it was
edited imports it anew.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sutrolib
from sutrolib.core import provenance
from sutrolib.core.paths import ROOT

if TYPE_CHECKING:
    from distributed import Client, Future

METER = "meter"
LOOPBACK = "127.0.0.1"
PATIENCE = 10  # seconds for a scheduler to answer
GATHER = 10  # seconds for a result to arrive
IMPORTED = "imported"  # what a process notes on the package sutrolib: the checkout and version that it has of it


class OtherLibrary(Exception):
    """The worker would run another version of the library than the one that asks it to."""


@dataclass(frozen=True)
class Worker:
    """A worker: its address, its name, and whether it holds the resource ``meter``."""

    address: str
    name: str
    meters: bool


@dataclass(frozen=True)
class Cluster:
    """Workers that functions can be sent to. ``local`` says whether they are processes of this machine, our own.

    ``version`` is the library's that they are to have imported; any will do where it is empty.
    """

    client: Client
    local: bool
    version: str = ""

    @property
    def dashboard(self) -> str:
        """Where Dask shows what it does; empty where it does not."""
        return str(self.client.dashboard_link or "")

    def workers(self) -> dict[str, Worker]:
        """The workers there are now, by address. Raises OSError where the scheduler is gone."""
        gone = "the Dask scheduler does not answer any more; what was running is lost"
        if self.client.status != "running" or self.client.scheduler is None:
            raise OSError(gone)
        try:
            # Not by scheduler_info(), whose answer the client overwrites every other second with one without workers.
            found = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise OSError(gone) from error
        return {address: _worker(address, about) for address, about in found.items()}

    @staticmethod
    def lost(error: BaseException) -> bool:
        """Whether Dask says by this error that it lost a task with its worker, or its way to it."""
        return type(error).__module__.startswith(("distributed", "asyncio", "concurrent", "tornado"))

    def submit(
        self, function: Callable[..., Any], *arguments: Any, worker: str | None = None, meter: bool = False
    ) -> Future[Any]:
        """Run a function of this library on a worker, or on the one of this address, with its meter if asked for.

        The task raises OtherLibrary where the worker finds another version of the library than is asked for.
        """
        return self.client.submit(
            _carrier(),
            str(ROOT),
            self.version,
            pickle.dumps((function, arguments)),
            workers=None if worker is None else [worker],
            resources={METER: 1} if meter else None,
            pure=False,
        )


def result_of(future: Future[Any]) -> Any:
    """What a task that has ended returned. Raises what it raised, and TimeoutError where that went with its worker."""
    return future.result(timeout=GATHER)


@contextmanager
def open_cluster(jobs: int | None, scheduler: str | None) -> Iterator[Cluster]:
    """The workers of a scheduler, or else so many processes on this machine, which end with the context.

    Raises ValueError for less than one job, and OSError, in one sentence, where no scheduler answers.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs={jobs!r}, accepted are 1 and above")
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler:
            client = stack.enter_context(_client_of(scheduler))
        else:
            client = stack.enter_context(_local(jobs or os.cpu_count() or 1))
        yield Cluster(client, local=not scheduler, version=_own_version() if scheduler else "")


def _own_version() -> str:
    """The library's version, noted for this process too: it may be a worker itself, and keeps what it has imported."""
    version = provenance.library()
    setattr(sutrolib, IMPORTED, (str(ROOT), version))
    return version


@contextmanager
def _client_of(scheduler: str) -> Iterator[Client]:
    import dask
    from distributed import Client

    try:
        with dask.config.set({"distributed.comm.timeouts.connect": PATIENCE}):
            client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise OSError(
            f"no Dask scheduler answers at {scheduler}: start one by 'dask scheduler' and give its address, such as"
            f" tcp://{LOOPBACK}:8786, or use --jobs for workers on this machine ({type(error).__name__})"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=2)


@contextmanager
def _local(jobs: int) -> Iterator[Client]:
    import dask
    from distributed import Client, Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    settings = {
        # Kernels have the threads that they have without Dask: else a time on a worker would be another one.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.worker.daemon": False,  # notebooks start processes of their own
        "distributed.comm.timeouts.connect": PATIENCE,
    }
    security = _security()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sutro-dask-", ignore_cleanup_errors=True))
        stack.enter_context(dask.config.set(settings))
        preload = Path(folder) / "leave_interrupts_to_the_command.py"  # Ctrl-C on a terminal reaches all processes
        preload.write_text("import signal\n\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n", encoding="utf-8")
        common = {"host": LOOPBACK, "security": security}
        scheduler = {**common, "port": 0, "dashboard": True, "dashboard_address": f"{LOOPBACK}:0"}
        worker = {
            **common,
            "nthreads": 1,
            "memory_limit": None,
            "dashboard": False,
            "local_directory": folder,
            "preload": [str(preload)],
            "silence_logs": logging.CRITICAL,
        }
        workers = {
            number: {"cls": Nanny, "options": worker | ({"resources": {METER: 1}} if number == 1 else {})}
            for number in range(1, jobs + 1)
        }
        cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": scheduler},
            workers=workers,
            security=security,
            silence_logs=logging.CRITICAL,
        )
        stack.enter_context(cluster)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.wait_for_workers(jobs, timeout=60)
        yield client


def _security() -> Any:
    """Keys for this cluster alone, where they can be made: else any user of this machine could give it work."""
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask's log is not for a user: of lost workers and connections, those tell who wait for them."""
    names = ("distributed", "tornado", "asyncio", "bokeh")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _worker(address: str, about: Mapping[str, Any]) -> Worker:
    name = str(about.get("name", address))
    short = address.rpartition("//")[2]
    return Worker(address, short if name == address else name, bool(about.get("resources", {}).get(METER)))


def _carrier() -> Callable[[str, str, bytes], Any]:
    """A function that calls another one, at home in the checkout of ``root``.

    It is local to this one so that it is sent as it is, not by a name that a worker or scheduler would have to import.
    A worker outlives many commands, and keeps what it once imported: where that is not of this checkout and version, it
    forgets it and imports anew. It cannot where torch has the library's operators, which are registered for good.
    """
    note = IMPORTED

    def call_in_checkout(root: str, version: str, call: bytes) -> Any:
        import importlib
        import os
        import pickle
        import sys
        import threading

        def imported() -> tuple[str, str]:
            about = importlib.import_module("sutrolib.core.provenance")
            return getattr(sys.modules["sutrolib"], note, None) or (str(about.ROOT), about.library())

        there = os.path.isdir(root)  # noqa: PTH112
        lock = sys.__dict__.setdefault("_sutrolib_imports", threading.Lock())  # a worker may have several threads
        with lock:
            if version and "sutrolib" in sys.modules:
                found = imported()
                if found[1] != version or (there and found[0] != os.path.realpath(root)):
                    if "sutrolib.models.parity.fused_kernels" in sys.modules:
                        raise importlib.import_module("sutrolib.core.dask_cluster").OtherLibrary(found[1])
                    for name in [name for name in sys.modules if name.partition(".")[0] == "sutrolib"]:
                        del sys.modules[name]
                    importlib.invalidate_caches()
            if there and "sutrolib" not in sys.modules:
                sys.path[:] = [root, *(path for path in sys.path if path != root)]
            if version:
                found = imported()
                if found[1] != version:
                    raise importlib.import_module("sutrolib.core.dask_cluster").OtherLibrary(found[1])
                setattr(sys.modules["sutrolib"], note, found)
            function, arguments = pickle.loads(call)
        return function(*arguments)

    return call_in_checkout
