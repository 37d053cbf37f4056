"""What a worker does in a test in place of running a notebook; a worker imports this module, so it is a light one."""

import os
import signal
import time


def nap(ticket):
    """What a worker does in place of a notebook: note that it began, sleep a little, and find the parameter."""
    began = ticket.folder / "begun"
    began.mkdir(exist_ok=True)
    (began / f"{ticket.number}-{ticket.attempt}-{os.getpid()}").touch()
    time.sleep(0.05)
    return ticket.ended(0.05, results={"n": ticket.job.parameters["n"]}, kinds={"n": "counted"})


def nap_and_say_when(ticket):
    """As nap, with when it was at it, in seconds of the machine's clock, which all its processes share."""
    began = time.monotonic()
    time.sleep(0.1)
    return ticket.ended(0.1, results={"began": began, "ended": time.monotonic()})


def die(ticket):
    """A run that takes its worker with it."""
    with (ticket.folder / "deaths").open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(ticket):
    raise OSError(28, "No space left on device")
