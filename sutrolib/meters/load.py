"""The load of the machine: the share of its processors that other processes use while a window of time is open.

    load = (busy time of the machine - CPU time of this process and its children) / (cores x seconds)

Time that a hypervisor gives to other virtual machines counts as theirs. Systems count CPU time in ticks of 10 ms, so a
window of milliseconds has no load of its own: it gets that of at least MIN_SPAN_S around it.
"""

from __future__ import annotations

import functools
import os
import time
from collections import deque
from typing import NamedTuple

# The highest load at which a timing is taken as it is: half a core of two. One other program on one of two cores made a
# training on two threads 3 times as long, and once 77 times; on a quiet machine the load is below 0.05.
MAX_LOAD = 0.25
MIN_SPAN_S = 0.2  # 20 ticks of each core
_MAX_AGE_S = 5.0  # an earlier sample stands for a short window only if it was taken so shortly before it


class CpuSample(NamedTuple):
    """Seconds on the clock, and CPU seconds so far: all that the machine counted, and what other processes used."""

    when: float
    total: float
    others: float


def sample_cpu() -> CpuSample | None:
    """The counters now; None where they cannot be read. It takes about a millisecond."""
    try:
        import psutil

        times, this = psutil.cpu_times()._asdict(), psutil.Process()
        processes = (this, *this.children(recursive=True))
        # User and system time, and both of children that have ended.
        own = sum(sum(process.cpu_times()[:4]) for process in processes)
    except Exception:  # psutil is missing, the counters are closed, or a child has ended just now: no measurement fails
        return None
    total = sum(seconds for name, seconds in times.items() if not name.startswith("guest"))  # part of user and nice
    return CpuSample(time.perf_counter(), total, total - times["idle"] - times.get("iowait", 0.0) - own)


@functools.cache
def _earlier_samples(pid: int) -> deque[CpuSample]:
    return deque(maxlen=1000)


def load_since(before: CpuSample | None) -> float | None:
    """The load since ``before``, 0 to 1; None if it is unknown.

    A shorter time than MIN_SPAN_S is extended to an earlier sample of this process, or else by sleeping.
    """
    after, known = sample_cpu(), _earlier_samples(os.getpid())
    if before is None or after is None:
        return None
    known.append(before)
    if after.when - before.when < MIN_SPAN_S:
        oldest, newest = before.when - _MAX_AGE_S, after.when - MIN_SPAN_S
        if (start := next((s for s in reversed(known) if oldest <= s.when <= newest), None)) is None:
            time.sleep(MIN_SPAN_S)
            after = sample_cpu() or after
        before = start or before
    counted = after.total - before.total
    return min(1.0, max(0.0, (after.others - before.others) / counted)) if counted > 0 else None
