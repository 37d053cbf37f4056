"""An outside agent, by ask and tell: how an AI assistant, or a person with a script, plugs in.

Any command is run once for each proposal. On its standard input it is handed one line of JSON (:func:`asked`): the
problem's description, the space and the history. On its standard output it answers with one line of JSON,
``{"family": ..., "settings": {...}}``, and ends. Nothing that it sends is executed or imported: an answer is data, and
is held against the space. What is late, too long, malformed, out of range or tried before is a refused trial, which is
charged; the agent reads the reason in its next history. It is shown neither the meter nor a sample, label or seed.

This is no sandbox: the program runs as the same user, and may read and write what that user may, use the network, and
start a program that hides its origin. Run only what you would run by hand. When this process is killed outright, nobody
is left to end a running agent.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sutrolib.core.types import check_fields, describe
from sutrolib.processes.budget import NOTHING
from sutrolib.processes.proposal_request import Question, Refused
from sutrolib.processes.search import Search
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial
from sutrolib.processes.subprocess_agent import NoAnswer, answer_of

EXAMPLE_AGENT = (sys.executable, "-I", str(Path(__file__).with_name("example_agent.py")))
ASK = (
    "Propose the family and the settings that solve the problem at the smallest cost by the metric. Answer with one "
    'line of JSON, {"family": name, "settings": {name: value, ...}}, with all settings of that family and no others.'
)
REASON = 200  # characters that are kept of why an answer was refused
DIGITS = 100  # of a whole number


@dataclass(frozen=True, kw_only=True)
class OutsideAgent(Search):
    """Proposals of ``command``, an argument list; its paths are to be absolute, as it runs in a new empty folder.

    It has ``timeout`` seconds to answer and end, and ``max_bytes`` of output. Of this process's environment it is given
    PATH and those ``variables`` that are named, such as an API key. Whatever it has started is killed before its
    proposal is weighed. Raises ValueError for a command that is not there.
    """

    command: Sequence[str]
    timeout: float = 30.0
    max_bytes: int = 65536
    variables: Sequence[str] = ()

    name: ClassVar[str] = "outside agent"
    rung: ClassVar[str] = "agent"
    charges_repeats: ClassVar[bool] = True
    apart: ClassVar[frozenset[str]] = Search.apart | {"timeout", "max_bytes", "variables"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("command", "variables"):
            object.__setattr__(self, field, _texts(field, getattr(self, field)))
        if not self.command:
            raise ValueError("command=(), accepted is a list of a program and its arguments")
        if shutil.which(self.command[0]) is None:
            raise ValueError(f"command {self.command[0]!r} is no program here, accepted are those on PATH, or a path")
        check_fields(self, {"timeout": (0.01, 86_400), "max_bytes": (1, 2**24)})
        if type(self.max_bytes) is not int:
            raise ValueError(f"max_bytes={self.max_bytes!r}, accepted are whole numbers")
        unset = [name for name in self.variables if name not in os.environ]
        if unset:
            raise ValueError(f"variables={unset!r}: not set here, accepted are names of the environment")

    def propose(self, question: Question) -> Proposal:
        """What the command answers. Raises Refused for what is no proposal."""
        line = json.dumps(asked(question), allow_nan=False).encode() + b"\n"
        try:
            sent = answer_of(self.command, line, self.timeout, self.max_bytes, self.variables)
        except NoAnswer as error:
            raise Refused(bounded(str(error))) from None
        try:
            return question.space.check(*parsed(sent))
        except RecursionError:
            raise Refused("nested too deeply, accepted is one object with a family and settings") from None
        except ValueError as error:
            raise Refused(bounded(str(error))) from None


def asked(question: Question) -> dict[str, Any]:
    """What an agent is told, as plain JSON.

    The seed of the search is not in it: a task and its secret could be sampled again from that.
    """
    task = question.problem.sample(0)  # for the name of its score and the target
    return {
        "ask": ASK,
        "problem": describe(question.problem),
        "target": {"score": task.score_name, "at_least": task.target},
        "metric": {"name": question.metric, "better": "smaller"},
        "space": question.space.describe(),
        "budget": dataclasses.asdict(question.budget),
        "spent": dataclasses.asdict(sum((trial.spent for trial in question.history), NOTHING)),
        "number": question.ticket.place,
        "history": [_told(trial) for trial in question.history],
    }


def _told(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "family": trial.proposal.family if trial.proposal else None,
        "settings": dict(trial.proposal.settings) if trial.proposal else None,
        "state": str(trial.state),
        "cost": _finite(trial.cost),
        "score": _finite(trial.score),
        "why": bounded(trial.why),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def parsed(sent: bytes) -> tuple[object, object]:
    """Family and settings of an answer, neither of them checked. Raises ValueError for all but one strict JSON object.

    Strict: no NaN or Infinity, no name twice, no whole number of more than 100 digits. RecursionError for deep nesting.
    """
    text = sent.strip(b" \t\r\n").decode()
    if not text:
        raise ValueError("nothing on standard output, accepted is one line of JSON")
    if "\n" in text or "\r" in text:
        raise ValueError(f"more than one line: {text[:REASON]!r}")
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos} of {text[:REASON]!r}") from None
    if not isinstance(found, dict) or set(found) != {"family", "settings"}:
        what = f"an object of {sorted(found)!r}" if isinstance(found, dict) else repr(found)
        raise ValueError(f"{what}, accepted is one object with a family and settings")
    return found["family"], found["settings"]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name twice in one object: {[name for name, _ in pairs]!r}")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number, accepted are finite ones")


def _whole(text: str) -> int:
    if len(text) > DIGITS:  # the cost of reading it grows with the square of its length
        raise ValueError(f"a whole number of {len(text)} digits, accepted are {DIGITS}")
    return int(text)


def bounded(reason: str) -> str:
    """``reason`` cut to 200 characters: its beginning says what is wrong, and its end what is accepted."""
    return reason if len(reason) <= REASON else f"{reason[: REASON // 2]} ... {reason[5 - REASON // 2 :]}"


def _texts(field: str, given: object) -> tuple[str, ...]:
    """``given`` as a tuple. Raises ValueError for all but a list of texts; a single one would be for a shell."""
    known = isinstance(given, list | tuple) and all(isinstance(part, str) and "\0" not in part for part in given)
    if not known:
        raise ValueError(f"{field}={given!r}, accepted is a list of texts, such as ['python', '/home/me/agent.py']")
    return tuple(given)  # type: ignore[arg-type]
