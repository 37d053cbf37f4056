"""A Dask cluster: workers on this machine, or those of a scheduler that is already running (docs.dask.org).

A local worker is a process with one thread. Only the first holds the resource ``meter``, so tasks that need it never
run at the same time on one host. On a cluster of several machines, start one worker per host with that resource.

Workers need this library installed, in the version of the client: others are refused.
"""

from __future__ import annotations

import functools
import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from sutrolib.core import provenance
from sutrolib.core.io import temporary_folder

if TYPE_CHECKING:
    from distributed import Client, Future

METER = "meter"
NO_KEYS = (
    "the Dask scheduler at {} has no keys, so whoever reaches its port can run programs as you: start it and its"
    " workers with --tls-ca-file, --tls-cert and --tls-key, or, in a network that only you can reach, set"
    " DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=False"
)
KEYS_NEEDED = (
    "the Dask scheduler at {} has keys, and this command has none: name them in"
    " DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY"
)
LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 10
START_TIMEOUT_S = 60


class LibraryMismatch(ValueError):
    """A worker does not have the version of this library that the client has."""


@dataclass(frozen=True)
class ClusterWorker:
    """A worker: its address, its name, and whether it holds the resource ``meter``."""

    address: str
    name: str
    meters: bool


@dataclass(frozen=True)
class Cluster:
    """Workers that run functions. ``local`` says whether they are processes that :func:`open_cluster` started here."""

    client: Client
    local: bool
    _interrupted: threading.Event = field(default_factory=threading.Event)
    _checked: set[str] = field(default_factory=set)

    def wait(self, seconds: float) -> None:
        """Wait. Raises KeyboardInterrupt at a Ctrl-C, also one since the last wait."""
        if self._interrupted.wait(seconds):
            self._interrupted.clear()
            raise KeyboardInterrupt

    def workers(self) -> dict[str, ClusterWorker]:
        """The present workers, by address.

        Raises OSError if the scheduler is gone, LibraryMismatch for a worker with another version of this library.
        """
        gone = "the Dask scheduler does not answer any more; what was running is lost"
        if self.client.status != "running" or self.client.scheduler is None:
            raise OSError(gone)
        try:
            # Not scheduler_info(): the client overwrites its answer every other second with one without workers.
            found = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise OSError(gone) from error
        workers = {}
        for address, about in found.items():
            name = str(about.get("name", address)).rpartition("//")[2]  # by default its address
            workers[address] = ClusterWorker(address, name, bool(about.get("resources", {}).get(METER)))
        unknown = [worker for address, worker in workers.items() if address not in self._checked]
        if unknown and not self.local:
            self._check_library(unknown)
        return workers

    def _check_library(self, workers: list[ClusterWorker]) -> None:
        here, addresses = provenance.library(), [worker.address for worker in workers]
        versions = self.client.run(_loaded_library, workers=addresses, on_error="return")
        for worker in workers:
            version = versions.get(worker.address)
            if version == here:
                self._checked.add(worker.address)
            elif isinstance(version, str) or "sutrolib" in str(version):  # else the worker went away
                found = f"has sutrolib {version[:12]}" if isinstance(version, str) else "cannot import sutrolib"
                raise LibraryMismatch(
                    f"worker {worker.name} {found}, and this command has {here[:12]}: give both the same checkout, run"
                    " `pip install -r requirements.txt` there, and restart the worker"
                )

    @staticmethod
    def lost(error: BaseException) -> bool:
        """Whether this error means that Dask lost a task together with its worker, or the connection to it."""
        return type(error).__module__.startswith(("distributed", "asyncio", "concurrent", "tornado"))

    def submit(self, function: Callable[..., Any], *arguments: Any, meter: bool = False, **options: Any) -> Future[Any]:
        """Run a function on a worker, one with the resource ``meter`` if asked; ``options`` are ``Client.submit``'s."""
        resources = {METER: 1} if meter else None
        return self.client.submit(function, *arguments, resources=resources, pure=False, **options)


@functools.cache
def _loaded_library() -> str:
    """The version of the library that this process has loaded: on disk it may be edited later."""
    return provenance.library()


@contextmanager
def open_cluster(jobs: int | None, scheduler: str | None) -> Iterator[Cluster]:
    """Connect to a scheduler, or else start ``jobs`` worker processes here, which end with the context.

    Within the context a first Ctrl-C is raised by :meth:`Cluster.wait`, a second one at once.
    Raises ValueError for fewer than one job and for a scheduler without keys, unless Dask's setting for encryption is
    off, and OSError if no scheduler answers.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1 (got {jobs!r})")
    with ExitStack() as stack:
        for logger in map(logging.getLogger, ("distributed", "tornado", "asyncio", "bokeh")):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)  # the callers report lost workers and connections
        client = _connect(scheduler, stack) if scheduler else _start_workers(jobs or 1, stack)
        cluster = Cluster(client, local=not scheduler)
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_noted_interrupts(cluster._interrupted))
        yield cluster


@contextmanager
def _noted_interrupts(interrupted: threading.Event) -> Iterator[None]:
    """Set the event at a Ctrl-C: Python drops what is raised in callbacks of its garbage collector, which Dask has.

    Raises KeyboardInterrupt at the end for one that nobody has waited for.
    """

    def note(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set() and callable(before):
            interrupted.clear()
            before(number, frame)
        interrupted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _drop_lost_clients() -> None:
    """Collect clients that found no scheduler: if one is collected while another starts, both wait for one lock."""
    gc.collect()


def _connect(scheduler: str, stack: ExitStack) -> Client:
    import dask
    from distributed import Client

    if not scheduler.startswith("tls://") and dask.config.get("distributed.comm.require-encryption") is not False:
        raise ValueError(NO_KEYS.format(scheduler))
    _drop_lost_clients()
    try:
        with dask.config.set({"distributed.comm.timeouts.connect": CONNECT_TIMEOUT_S}):
            client = Client(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except TypeError as error:
        raise ValueError(KEYS_NEEDED.format(scheduler)) from error
    except (OSError, ValueError, TimeoutError) as error:
        raise OSError(
            f"no Dask scheduler answers at {scheduler}: start one with 'dask scheduler' and give its address, such as"
            f" tls://{LOOPBACK}:8786, or use --jobs for workers on this machine ({type(error).__name__})"
        ) from error
    stack.callback(client.close, timeout=2)
    return client


def _start_workers(jobs: int, stack: ExitStack) -> Client:
    import dask
    from distributed import Client, Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster
    from distributed.security import Security

    settings = {
        "distributed.nanny.pre-spawn-environ": {},  # kernels keep the number of threads that they have without Dask
        "distributed.worker.daemon": False,  # notebooks start processes of their own
        "distributed.comm.timeouts.connect": CONNECT_TIMEOUT_S,
        "distributed.scheduler.allowed-failures": 100,  # a batch counts for itself how often a run was begun
    }
    keys = Security.temporary()  # its own, whatever Dask's settings are: no other user can send it work
    common = {"host": LOOPBACK, "security": keys}
    folder = stack.enter_context(temporary_folder("dask"))
    stack.enter_context(dask.config.set(settings))
    worker = common | {"nthreads": 1, "memory_limit": None, "dashboard": False, "local_directory": folder}
    worker |= {"preload": [__name__], "silence_logs": logging.CRITICAL}
    workers = {number: {"cls": Nanny, "options": worker} for number in range(1, jobs + 1)}
    workers[1] = {"cls": Nanny, "options": worker | {"resources": {METER: 1}}}
    options = common | {"port": 0, "dashboard": True, "dashboard_address": f"{LOOPBACK}:0"}
    scheduler = {"cls": Scheduler, "options": options}
    _drop_lost_clients()
    cluster = SpecCluster(workers, scheduler, security=keys, silence_logs=logging.CRITICAL)
    client: Client = stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
    client.wait_for_workers(jobs, timeout=START_TIMEOUT_S)
    return client


def dask_setup(_: object) -> None:
    """Run by Dask in each local worker: Ctrl-C in a terminal reaches all processes, and only the command acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
