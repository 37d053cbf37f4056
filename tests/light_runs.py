"""Functions that a worker runs in a test in place of a notebook; workers import this module, so it is light."""

import os
import signal
import time


def nap(run):
    """What a worker does in place of a notebook: note that it began, sleep a little, and find the parameter."""
    began = run.folder / "begun"
    began.mkdir(exist_ok=True)
    (began / f"{run.number}-{run.attempt}-{os.getpid()}").touch()
    time.sleep(0.05)
    return run.result(0.05, results={"n": run.job.parameters["n"]}, kinds={"n": "counted"})


def nap_and_say_when(run):
    """As nap, with when it was at it, in seconds of the machine's clock, which all its processes share."""
    began = time.monotonic()
    time.sleep(0.1)
    return run.result(0.1, results={"began": began, "ended": time.monotonic()})


def die(run):
    """A run that takes its worker with it."""
    with (run.folder / "deaths").open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(run):
    raise OSError(28, "No space left on device")
