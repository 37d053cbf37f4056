"""An external agent that proposes candidates: how an AI assistant, or a person with a script, plugs in.

Any command runs once for each proposal. On its standard input it gets one line of JSON (:func:`request_to_dict`): the
problem's description, the space and the history. On its standard output it answers with one line of JSON,
``{"family": ..., "settings": {...}}``, and ends. Nothing that it sends is executed or imported: an answer is data, and
is checked against the space. An answer that is late, too long, malformed, out of range or tried before is a refused
trial, which is charged; the agent reads the reason in its next history. It sees neither the meter nor a sample, label
or seed.

This is not a sandbox: the program runs as the same user, and may read and write what that user may, use the network,
and start a program that hides its origin. Run only what you would run by hand. When this process is killed outright, a
running agent goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sutrolib.core.io import as_float, as_json
from sutrolib.core.types import check_fields, describe
from sutrolib.processes.budget import NO_USE
from sutrolib.processes.search import ProposalRejected, ProposalRequest, Search
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial
from sutrolib.processes.subprocess_agent import AgentFailed, run_agent

EXAMPLE_AGENT = (sys.executable, "-I", str(Path(__file__).with_name("example_agent.py")))
_INSTRUCTION = (
    "Propose the family and the settings that solve the problem at the smallest cost by the metric. Answer with one "
    'line of JSON, {"family": name, "settings": {name: value, ...}}, with all settings of that family and no others.'
)
_MAX_REASON_CHARS = 200
_MAX_DIGITS = 100  # of an integer: the cost of reading it grows with the square of its length


@dataclass(frozen=True, kw_only=True)
class ExternalAgent(Search):
    """Proposals of an external program.

    Everything that the program has started is killed before its proposal is measured.

    Args:
        command: Program and arguments, with absolute paths, as it runs in a new empty folder.
        timeout: Seconds to answer and end.
        max_bytes: Limit of its output.
        variables: Names of environment variables, such as an API key, that it gets in addition to PATH.

    Raises:
        ValueError: For a command that does not exist, and for a limit or variable that is not valid.
    """

    command: Sequence[str]
    timeout: float = 30.0
    max_bytes: int = 65536
    variables: Sequence[str] = ()

    name: ClassVar[str] = "external agent"
    rung: ClassVar[str] = "agent"
    charge_duplicates: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = Search.may_change | {"timeout", "max_bytes", "variables"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("command", "variables"):  # a single string would need a shell
            given = getattr(self, field)
            if not (isinstance(given, list | tuple) and all(isinstance(x, str) and "\0" not in x for x in given)):
                example = "['python', '/home/me/agent.py']"
                raise ValueError(f"{field} must be a list of strings, such as {example} (got {given!r})")
            object.__setattr__(self, field, tuple(given))
        if not self.command:
            raise ValueError("command must name a program (got an empty list)")
        if shutil.which(self.command[0]) is None:
            raise ValueError(f"command {self.command[0]!r} not found: give a program on PATH, or a path")
        check_fields(self, {"timeout": (0.01, 86_400), "max_bytes": (1, 2**24)})
        unset = [name for name in self.variables if name not in os.environ]
        if unset:
            raise ValueError(f"variables must be set in the environment (missing: {', '.join(unset)})")

    def propose(self, request: ProposalRequest) -> Proposal:
        """The answer of the command. Raises ProposalRejected for an invalid one."""
        line = json.dumps(as_json(request_to_dict(request))).encode() + b"\n"
        try:
            answer = run_agent(self.command, line, self.timeout, self.max_bytes, self.variables)
        except AgentFailed as error:
            raise ProposalRejected(shorten_reason(str(error))) from None
        try:
            return request.space.validate(*parse_answer(answer))
        except (ValueError, RecursionError) as error:
            deep = "nested too deeply: send one object with a family and settings"
            raise ProposalRejected(deep if isinstance(error, RecursionError) else shorten_reason(str(error))) from None


def request_to_dict(request: ProposalRequest) -> dict[str, Any]:
    """What an agent gets, as plain JSON.

    The seed of the search is left out: a task and its secret could be sampled again from it.
    """
    task = request.problem.sample(0)  # for the name of its score and the target
    target, metric = {"score": task.score_name, "at_least": task.target}, {"name": request.metric, "better": "smaller"}
    spent = sum((trial.spent for trial in request.history), NO_USE)
    about: dict[str, Any] = {"ask": _INSTRUCTION, "problem": describe(request.problem), "target": target}
    about |= {"metric": metric, "space": request.space.describe(), "budget": dataclasses.asdict(request.budget)}
    about |= {"spent": dataclasses.asdict(spent), "number": request.index}
    return about | {"history": [_trial_to_dict(trial) for trial in request.history]}


def _trial_to_dict(trial: Trial) -> dict[str, Any]:
    proposal = trial.proposal.to_dict() if trial.proposal else {"family": None, "settings": None}
    numbers = {"cost": as_float(trial.cost), "score": as_float(trial.score)}
    return {"number": trial.number, **proposal, "state": trial.state, **numbers, "why": shorten_reason(trial.why)}


def parse_answer(answer: bytes) -> tuple[object, object]:
    """Family and settings of an answer, both unchecked. Raises ValueError unless it is one strict JSON object.

    Strict: no NaN or Infinity, no duplicate name, no integer of more than 100 digits. RecursionError for deep nesting.
    """
    text = answer.strip(b" \t\r\n").decode()
    if not text:
        raise ValueError("nothing on standard output: send one line of JSON")
    if "\n" in text or "\r" in text:
        raise ValueError(f"more than one line: {text[:_MAX_REASON_CHARS]!r}")
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_reject_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at character {error.pos} of {text[:_MAX_REASON_CHARS]!r}"
        raise ValueError(f"not valid JSON: {where}") from None
    if not isinstance(found, dict) or set(found) != {"family", "settings"}:
        got = f"an object with {sorted(found)!r}" if isinstance(found, dict) else repr(found)
        raise ValueError(f"got {got}: send one object with a family and settings")
    return found["family"], found["settings"]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"duplicate name in one object: {[name for name, _ in pairs]!r}")
    return found


def _reject_constant(text: str) -> object:
    raise ValueError(f"{text} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits: at most {_MAX_DIGITS} are allowed")
    return int(text)


def shorten_reason(reason: str) -> str:
    """``reason`` cut to 200 characters, with its beginning (what is wrong) and its end (what to do)."""
    half = _MAX_REASON_CHARS // 2
    return reason if len(reason) <= _MAX_REASON_CHARS else f"{reason[:half]} ... {reason[5 - half :]}"
