"""A hostile external agent: one bad answer after the other, to test how each is handled. It needs nothing but Python.

``ANSWERS`` holds its answers by what is wrong with them; the number of the trial chooses one. The first is good, so
that it can be repeated; ``START`` in an answer stands for the start of the first family of the space.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
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


def answer(request: Mapping[str, Any], wanted: Any) -> str:
    """The line to send: ``wanted`` as it stands, or the start with these settings changed, by name or by place."""
    about = request["space"][0]
    begun = {"family": about["family"], "settings": about["start"]}
    if isinstance(wanted, str):
        return wanted.replace(START, json.dumps(begun))
    names = list(about["settings"])
    changed = {names[key] if isinstance(key, int) else key: value for key, value in wanted.items()}
    return json.dumps({**begun, "settings": {**about["start"], **changed}})


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
    print(answer(request, ANSWERS[title]), flush=True)
    if title == LATE:
        time.sleep(LINGER_S)


if __name__ == "__main__":
    main(sys.argv[1:])
