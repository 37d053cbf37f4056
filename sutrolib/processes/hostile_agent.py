"""A hostile external agent: one bad answer after the other, to test how each is handled. It needs nothing but Python.

``ANSWERS`` holds its answers by what is wrong with them; the number of the trial chooses one. The first is good, so
that it can be repeated. A text is sent as it stands, with the start of the first family of the space for ``START``; a
dictionary changes settings of that start, by their name or place.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

LINGER_S = 600  # for answers that are late and programs that are left behind
LATE, LONG, CRASH, CHILD = "answers too late", "never stops writing", "crashes", "leaves a program running"
START = "START"
HOSTILE_AGENT = (sys.executable, "-I", __file__)

ANSWERS: dict[str, Any] = {
    "none, it is a good one": {},
    "repeats itself": {},
    "nothing": "",
    "prose": "I would try a smaller network.",
    "two answers": f"{START}\n{START}",
    "NaN": {0: float("nan")},
    "beyond the range": {0: 1e9},
    "text for a number": {0: "200"},
    "a path": {0: "../../etc/passwd"},
    "code": {0: "__import__('os').system('echo owned')"},
    "an unknown setting": {"max_epochs": 1},
    "an unknown family": '{"family": "gpt", "settings": {}}',
    LONG: "",
    CRASH: "",
    LATE: START,
    CHILD: "",
}


def main(arguments: list[str]) -> None:
    """Read a question, misbehave and answer. With ``linger`` among the arguments, only be there for a while."""
    if "linger" in arguments:
        time.sleep(LINGER_S)
        return
    request = json.loads(sys.stdin.readline())
    title = list(ANSWERS)[request["number"] % len(ANSWERS)]
    if title == CRASH:
        raise RuntimeError("no idea")
    if title == CHILD:
        subprocess.Popen([sys.executable, "-I", __file__, "linger", *arguments])
    while title == LONG:
        print("[" * 65536)
    wanted, about = ANSWERS[title], request["space"][0]
    settings, names = dict(about["start"]), list(about["settings"])
    for key, value in wanted.items() if isinstance(wanted, dict) else ():
        settings[names[key] if isinstance(key, int) else key] = value
    answer = json.dumps({"family": about["family"], "settings": settings})
    print(wanted.replace(START, answer) if isinstance(wanted, str) else answer, flush=True)
    if title == LATE:
        time.sleep(LINGER_S)


if __name__ == "__main__":
    main(sys.argv[1:])
