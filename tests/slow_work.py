"""Pieces of work for a worker's process, and ways to wait for it; a person in front of a panel."""

import os
import signal
import time

import ipywidgets


def count(line, numbers, then="end"):
    """Tell the numbers one by one, noisily, and then end or go wrong in some way."""
    print("to standard output", flush=True)
    os.write(2, b"to standard error")
    line.tell(os.getpid())
    for number in range(numbers):
        line.tell(number)
    if then == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        line.tell("deaf")
    if then in ("wait", "deaf"):
        time.sleep(600)
    if then == "until asked":
        while not line.stop_requested:
            time.sleep(0.01)
        line.tell("asked")
    if then == "exit":
        os._exit(3)


def try_send(line, number):
    """Mention more than a pipe holds, and end."""
    line.tell("first")
    for word in range(number):
        line.try_send(word)


def until(condition, limit=60):
    """Wait until ``condition`` is true."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def controls_of(panel):
    """All that has a name in a panel, by it; and what is shown, in order, under an empty one."""
    found = {"": []}

    def walk(widget):
        if isinstance(widget, ipywidgets.Box):
            for child in widget.children:
                walk(child)
        elif widget.description:
            found[widget.description] = widget
        else:
            found[""].append(widget)

    walk(panel)
    return found


class Heard:
    """The line of work that runs in this process: keeps what is told, and asks to stop after so many events."""

    def __init__(self, most=None):
        self.events, self.most = [], most

    def tell(self, event):
        self.events.append(event)

    try_send = tell

    @property
    def stop_requested(self):
        return self.most is not None and len(self.events) >= self.most
