"""Work for a worker process, ways to wait for it, and the controls of a panel by name."""

import os
import signal
import time

import ipywidgets


def count(connection, numbers, then="end"):
    """Send the numbers one by one, noisily, and then end or fail in some way."""
    print("to standard output", flush=True)
    os.write(2, b"to standard error")
    connection.send(os.getpid())
    for number in range(numbers):
        connection.send(number)
    if then == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        connection.send("deaf")
    if then in ("wait", "deaf"):
        time.sleep(600)
    if then == "until asked":
        while not connection.poll():
            time.sleep(0.01)
        connection.send("asked")
    if then == "exit":
        os._exit(3)


def until(condition, limit=60):
    """Wait until ``condition`` is true."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


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


class LocalConnection:
    """The connection of work that runs in this process: keeps the events, and requests a stop after so many."""

    def __init__(self, most=None):
        self.events, self.most = [], most

    def send(self, event):
        self.events.append(event)

    def poll(self):
        return self.most is not None and len(self.events) >= self.most
