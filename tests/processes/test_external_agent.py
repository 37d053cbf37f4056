import contextlib
import json
import os
import re
import sys
import tempfile
import time
import tracemalloc

import psutil
import pytest

from sutrolib.meters import OperationCount
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.example_agent import proposal
from sutrolib.processes.external_agent import EXAMPLE_AGENT, ExternalAgent, shorten_reason
from sutrolib.processes.space import Family, SearchSpace, family_of, space_of
from sutrolib.processes.subprocess_agent import AgentFailed, run_agent

PROBLEM = SparseParity(n=6, k=2, n_train=400, n_test=200)
SPACE = space_of(
    TwoLayerNetwork(max_epochs=20), hidden=Range(20, 200, log=True, integer=True), lr=Range(0.03, 1.0, log=True)
)
START = {"family": "two-layer network", "settings": {"hidden": 200, "lr": 0.1}}
AMPLE = 60  # seconds, for an agent that ends by itself

AGENT = '''
import json, os, pathlib, signal, sys, time

what, folder = sys.argv[1:]
folder = pathlib.Path(folder)


def start():
    print(json.dumps({"family": "two-layer network", "settings": {"hidden": 200, "lr": 0.1}}), flush=True)


def child(leaves_group=False, leaves_environment=False):
    """A process that holds the output and goes on for ever; returns when it is there."""
    if os.fork() == 0:
        if leaves_group:
            os.setsid()
        if leaves_environment:
            os.execve(sys.executable, [sys.executable, "-I", __file__, "linger", str(folder)], {})
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / "child").touch()
        for _ in range(600):
            time.sleep(1)
        os._exit(0)
    while not (folder / "child").exists():
        time.sleep(0.001)


def hang():
    for _ in range(600):
        time.sleep(1)


def question():
    return json.loads(sys.stdin.readline())


if what == "repeat":
    start()
elif what == "linger":
    (folder / "child").touch()
    hang()
elif what == "deaf":  # never reads what it is handed
    start()
elif what == "count":
    print(len(sys.stdin.read()))
elif what == "for ever":
    while True:
        os.write(1, b"x" * 65536)
elif what == "many errors":
    for _ in range(400):
        os.write(2, b"x" * 65536)
    start()
elif what == "interrupt":
    child()
    os.kill(os.getppid(), signal.SIGINT)
    hang()
elif what == "look":
    seen = {
        "line": sys.stdin.read(),
        "environment": dict(os.environ),
        "folder": os.listdir("."),
        "arguments": sys.argv,
        "open": [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
        if os.path.exists("/proc/self/fd")
        else ["0", "1", "2"],
    }
    number = json.loads(seen["line"])["number"]
    (folder / f"seen{number}.json").write_text(json.dumps(seen))
    lr = [0.1, "high", 0.03][number]
    hidden = [200, 200, 20][number]
    print(json.dumps({"family": "two-layer network", "settings": {"hidden": hidden, "lr": lr}}))
elif question()["number"] > 0:  # bad once, and good from then on
    start()
elif what == "raw":
    sys.stdout.buffer.write((folder / "answer").read_bytes())
elif what == "flood":
    while True:
        os.write(1, b"[" * 65536)
elif what == "flood errors":
    while True:
        os.write(2, b"trouble " * 8192)
elif what == "hang":
    hang()
elif what == "drip":
    for _ in range(6000):
        os.write(1, b" ")
        time.sleep(0.1)
elif what == "answer and hang":
    start()
    hang()
elif what == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child()
    hang()
elif what == "crash":
    raise RuntimeError("no idea \\x1b[31m" + "z" * 1500)
elif what == "answer and crash":
    start()
    sys.exit(3)
elif what == "kill itself":
    os.kill(os.getpid(), signal.SIGKILL)
elif what == "child":
    child()
    start()
elif what == "child that leaves":
    child(leaves_group=True)
    start()
elif what == "child that forgets":
    child(leaves_environment=True)
    start()
elif what == "swap":
    here = os.getcwd()
    os.rmdir(here)
    os.symlink(folder / "precious", here)
    start()
'''


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path, monkeypatch):
    """No process of the agent, and no file, is left after any test here."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    until = time.monotonic() + 5  # who was killed may be a moment in ending
    while running(tmp_path) and time.monotonic() < until:
        time.sleep(0.02)
    assert running(tmp_path) == []
    assert [path for path in temporary.glob("agent-*") if not path.is_symlink()] == []


def running(folder):
    """The processes that were started with this folder among their arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.fixture
def agent(tmp_path):
    """Makes the command of an agent that does what it is told."""
    script = tmp_path / "agent.py"
    script.write_text(AGENT)

    def command(what, answer=b""):
        (tmp_path / "answer").write_bytes(answer)
        return [sys.executable, "-I", str(script), what, str(tmp_path)]

    return command


def improve(command, trials=2, seed=0, meter=None, space=SPACE, **options):
    search = ExternalAgent(command=command, **{"timeout": AMPLE, **options})
    return search.improve(PROBLEM, space, meter or OperationCount(), SearchBudget(trials=trials), seed=seed)


def refused(study):
    """The reason of a study whose first answer was refused and charged, and which then went on to a solution."""
    first, second = study.trials
    assert first.state is TrialState.REFUSED
    assert (first.proposal, first.cost, first.spent.trials) == (None, None, 1)
    assert first.why.isprintable()
    assert len(first.why) <= 200
    assert second.state is TrialState.SOLVED
    assert study.spent.trials == 2
    assert study.best is second
    return first.why


def test_the_example_agent_improves_on_the_start():
    study = improve(EXAMPLE_AGENT, trials=12)
    assert study.trials[0].proposal == SPACE.start
    assert {trial.state for trial in study.trials} <= {TrialState.SOLVED, TrialState.MISSED}
    assert study.best.cost < study.trials[0].cost / 3
    assert len({trial.proposal.key for trial in study.trials}) == 12
    assert (study.process, study.spent.trials) == ("external agent", 12)


def test_a_study_that_is_stopped_and_continued_makes_the_same_proposals(tmp_path):
    journal = tmp_path / "study.log"
    improve(EXAMPLE_AGENT, trials=3, journal=journal)
    continued = improve(EXAMPLE_AGENT, trials=6, journal=journal)
    at_once = improve(EXAMPLE_AGENT, trials=6)
    assert [t.proposal for t in continued.trials] == [t.proposal for t in at_once.trials]


def test_the_example_agent_moves_in_every_sort_of_dimension_and_stays_within_the_space():
    space = space_of(
        TwoLayerNetwork(patience=2),
        "optimizer",
        hidden=Range(20, 200, log=True, integer=True),
        weight_decay=Range(0.0, 0.05),
        patience=Range(2, 2, integer=True),  # where there is nothing to move
    )
    history, moved = [], set()
    for number in range(60):
        question = json.loads(json.dumps({"space": space.describe(), "history": history, "number": number}))
        answer = proposal(question)
        checked = space.validate(answer["family"], answer["settings"])
        start = history[0]["settings"] if history else answer["settings"]
        moved |= {name for name, value in checked.settings.items() if value != start[name]}
        history.append({**answer, "number": number, "cost": 100.0 - number, "score": 1.0})
    assert moved == {"optimizer", "hidden", "weight_decay"}
    assert len({json.dumps(trial["settings"], sort_keys=True) for trial in history}) == 60


def test_the_example_agent_goes_by_the_score_while_nothing_is_solved():
    told = [
        {"number": 0, **START, "cost": None, "score": 0.5},
        {"number": 1, "family": None, "settings": None, "cost": None, "score": None},
        {"number": 2, "family": "two-layer network", "settings": {"hidden": 50, "lr": 0.5}, "cost": None, "score": 0.9},
        {
            "number": 3,
            "family": "two-layer network",
            "settings": {"hidden": 70, "lr": 0.7},
            "cost": None,
            "score": None,
        },
    ]
    settings = proposal({"space": SPACE.describe(), "history": told, "number": 4})["settings"]
    assert (settings["hidden"] == 50) != (settings["lr"] == 0.5)


def test_the_example_agent_begins_with_the_start_of_each_family():
    one, two = family_of(TwoLayerNetwork(), "lr", "optimizer"), Family(GF2Elimination(), {})
    question = {"space": SearchSpace((one, two)).describe(), "history": []}
    assert proposal({**question, "number": 0}) == {"family": one.name, "settings": dict(one.start.settings)}
    assert proposal({**question, "number": 1}) == {"family": two.name, "settings": {}}
    assert proposal({**question, "number": 2})["family"] == one.name  # nothing is known of either yet


def answer(settings, family='"two-layer network"'):
    return f'{{"family": {family}, "settings": {settings}}}'.encode()


BAD = {
    "nothing": (b"", "nothing on standard output"),
    "blank": (b" \n\r\n\t", "nothing on standard output"),
    "prose": (b"I would try a smaller network.", "not valid JSON: Expecting value at character 0"),
    "not utf-8": (b'{"family": "\xff"}', "can't decode byte 0xff"),
    "two lines": (json.dumps(START).encode() + b"\n" + json.dumps(START).encode(), "more than one line"),
    "two objects": (json.dumps(START).encode() * 2, "not valid JSON: Extra data"),
    "an array": (json.dumps([START]).encode(), "send one object"),
    "a number": (b"7", "got 7: send one object"),
    "null": (b"null", "got None: send one object"),
    "half": (json.dumps(START).encode()[:-3], "not valid JSON"),
    "too little": (b'{"family": "two-layer network"}', r"an object with \['family'\]"),
    "too much": (json.dumps({**START, "why": "it learns"}).encode(), r"\['family', 'settings', 'why'\]"),
    "a family twice": (b'{"family": "x", "family": "two-layer network", "settings": {}}', "duplicate name"),
    "a setting twice": (answer('{"hidden": 20, "hidden": 200, "lr": 0.1}'), "duplicate name"),
    "another family": (answer("{}", '"gpt \\u001b[31m \\u202e \\ud800"'), "choose one of 'two-layer network'"),
    "a family of no kind": (answer("{}", '["two-layer network"]'), "choose one of 'two-layer network'"),
    "settings in a row": (answer("[200, 0.1]"), "settings must map names"),
    "NaN": (answer('{"hidden": 200, "lr": NaN}'), "NaN is not a finite number"),
    "Infinity": (answer('{"hidden": 200, "lr": Infinity}'), "Infinity is not a finite number"),
    "minus Infinity": (answer('{"hidden": 200, "lr": -Infinity}'), "-Infinity is not a finite number"),
    "1e999": (answer('{"hidden": 200, "lr": 1e999}'), r"lr must be a number from 0.03 to 1 \(got inf\)$"),
    "huge": (answer('{"hidden": 1' + "0" * 90 + ', "lr": 0.1}'), "hidden must be an integer from 20 to 200 "),
    "5,000 digits": (answer('{"hidden": 1' + "0" * 4999 + ', "lr": 0.1}'), "an integer of 5000 digits"),
    "too small": (answer('{"hidden": 19, "lr": 0.1}'), r"hidden must be an integer from 20 to 200 \(got 19\)"),
    "a half": (answer('{"hidden": 20.5, "lr": 0.1}'), "hidden must be an integer .*got 20.5"),
    "a boolean": (answer('{"hidden": 200, "lr": true}'), "lr must be a number .*got True"),
    "a text": (answer('{"hidden": "200", "lr": 0.1}'), "hidden must be an integer .*got '200'"),
    "nothing set": (answer('{"hidden": null, "lr": 0.1}'), "hidden must be an integer .*got None"),
    "an object": (answer('{"hidden": {"low": 20}, "lr": 0.1}'), "hidden must be an integer"),
    "a path": (
        answer('{"hidden": "../../etc/passwd", "lr": 0.1}'),
        "got '../../etc/passwd'",
    ),
    "unknown setting": (answer('{"hidden": 200, "lr": 0.1, "max_epochs": 1}'), "unknown 'max_epochs'"),
    "dunder": (answer('{"hidden": 200, "lr": 0.1, "__class__": "x"}'), "unknown '__class__'"),
    "missing setting": (answer('{"hidden": 200}'), "missing lr; the settings are hidden, lr"),
    "deep": (b"[" * 30_000, "nested too deeply"),
    "deep settings": (answer('{"hidden": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + ', "lr": 0.1}'), "too deeply"),
    "less deep": (
        answer('{"hidden": 200, "lr": ' + "[" * 400 + "]" * 400 + "}"),
        "lr must be a number from 0.03 to 1 ",
    ),
    "many names": (answer(json.dumps({f"name {i}": i for i in range(3000)})), "unknown 'name 0'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_refused_and_charged_and_the_study_goes_on(agent, name):
    sent, reason = BAD[name]
    assert re.search(reason, refused(improve(agent("raw", sent))))


def test_code_arrives_as_the_text_that_it_is(agent, tmp_path):
    touch = f"__import__('os').system('touch {tmp_path / 'owned'}')"
    for sent in (answer(json.dumps({"hidden": touch, "lr": 0.1})), answer("{}", json.dumps(touch)), touch.encode()):
        assert "__import__(" in refused(improve(agent("raw", sent)))
    assert not (tmp_path / "owned").exists()


def test_what_a_choice_holds_is_compared_with_its_type(agent):
    space = space_of(TwoLayerNetwork(max_epochs=20, lr=1.0), hidden=Range(20, 200, integer=True), lr=Choice((1.0, 0.1)))
    why = refused(improve(agent("raw", answer('{"hidden": 200, "lr": true}')), space=space))
    assert "lr must be one of 1.0, 0.1 (got True)" in why


MISBEHAVED = {
    "flood": "more than 65536 bytes",
    "crash": "exit code 1; last line of its errors: .*RuntimeError: no idea",
    "answer and crash": "exit code 3; last line of its errors: ''",
    "kill itself": "exit code -9",
}


@pytest.mark.parametrize("name", MISBEHAVED)
def test_an_agent_that_misbehaves_is_ended_and_charged_and_the_study_goes_on(agent, name):
    assert re.search(MISBEHAVED[name], refused(improve(agent(name))))


@pytest.mark.parametrize("name", ["hang", "drip", "flood errors", "answer and hang", "stubborn"])
def test_an_agent_that_does_not_end_in_time_is_ended_and_charged_and_the_study_goes_on(agent, tmp_path, name):
    timeout = 3 if name == "stubborn" else 0.5  # time to start a child as well
    improve(agent(name), trials=1, timeout=timeout, journal=tmp_path / "study.log")
    study = improve(agent(name), trials=2, journal=tmp_path / "study.log")
    assert refused(study) == f"late: it had not ended after {timeout} s"
    assert (tmp_path / "child").exists() == (name == "stubborn")


@pytest.mark.parametrize("name", ["child", "child that leaves", "child that forgets"])
def test_what_an_agent_leaves_running_is_ended_before_its_proposal_is_weighed(agent, tmp_path, name):
    seen = []
    improve(agent(name), trials=1, on_measurement=lambda _: seen.append(running(tmp_path)))
    # The first answer counts although a process that holds the output was left behind.
    assert (tmp_path / "child").exists()
    assert seen == [[]]


def test_a_proposal_that_was_tried_is_refused_and_charged(agent):
    study = improve(agent("repeat"), trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.SOLVED, TrialState.REFUSED, TrialState.REFUSED]
    assert "tried before: two-layer network (hidden=200, lr=0.1)" in study.trials[1].why
    assert study.stopped == "budget spent: 3 of 3 trials"


def test_an_interrupt_ends_the_agent_and_all_that_it_started(agent, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        improve(agent("interrupt"))
    assert (tmp_path / "child").exists()


def test_a_long_question_reaches_an_agent_that_reads_and_blocks_nobody_where_it_does_not(agent):
    line = b"x" * 3_000_000
    assert run_agent(agent("count"), line, AMPLE, 100, ()) == b"3000000\n"
    assert json.loads(run_agent(agent("deaf"), line, AMPLE, 1000, ())) == START


def test_neither_an_endless_answer_nor_many_errors_fill_the_memory(agent):
    tracemalloc.start()
    try:
        with pytest.raises(AgentFailed, match="more than 100000 bytes"):
            run_agent(agent("for ever"), b"", AMPLE, 100_000, ())
        assert json.loads(run_agent(agent("many errors"), b"", AMPLE, 100_000, ())) == START
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_as_long_as_the_limit_is_accepted_and_one_byte_more_is_not(agent):
    length = len(json.dumps(START)) + 1
    assert improve(agent("repeat"), trials=1, max_bytes=length).trials[0].state is TrialState.SOLVED
    assert "more than" in improve(agent("repeat"), trials=1, max_bytes=length - 1).trials[0].why


def test_a_folder_that_is_swapped_for_a_link_takes_nothing_with_it(agent, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    with contextlib.suppress(AgentFailed):
        run_agent(agent("swap"), b'{"number": 0}', AMPLE, 1000, ())
    assert (tmp_path / "precious" / "file").read_text() == "kept"


class Secretive(OperationCount):
    title = "a title that nobody is told"

    def __init__(self):
        super().__init__()
        self.password = "hunter2"


def test_an_agent_is_handed_the_question_and_nothing_else(agent, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "not for you")
    monkeypatch.setenv("API_KEY", "for you")
    study = improve(agent("look"), trials=3, seed=987_654, meter=Secretive(), variables=["API_KEY"])
    assert [trial.state for trial in study.trials] == [TrialState.SOLVED, TrialState.REFUSED, study.trials[2].state]
    seen = [json.loads((tmp_path / f"seen{number}.json").read_text()) for number in range(3)]
    assert all(look["line"].count("\n") == 1 for look in seen)
    first, _, third = (json.loads(look["line"]) for look in seen)
    assert first.pop("ask").startswith("Propose the family and the settings")
    assert first == {
        "problem": {"name": "sparse parity", "n": 6, "k": 2, "noise": 0.0, "n_train": 400, "n_test": 200},
        "target": {"score": "accuracy", "at_least": 0.99},
        "metric": {"name": "operations", "better": "smaller"},
        "space": [
            {
                "family": "two-layer network",
                "prior_knowledge": "samples only",
                "settings": {
                    "hidden": {"low": 20, "high": 200, "log": True, "integer": True},
                    "lr": {"low": 0.03, "high": 1.0, "log": True, "integer": False},
                },
                "start": {"hidden": 200, "lr": 0.1},
            }
        ],
        "budget": {"trials": 3, "seconds": None, "joules": None},
        "spent": {"trials": 0, "seconds": 0.0, "joules": 0.0},
        "number": 0,
        "history": [],
    }
    solved, bad = study.trials[:2]
    assert set(third) == {*first, "ask"}
    assert third["history"] == [
        {
            "number": 0,
            **START,
            "state": "solved",
            "cost": solved.cost,
            "score": 1.0,
            "why": "solved on 1 of 1 seeds",
        },
        {
            "number": 1,
            "family": None,
            "settings": None,
            "state": "refused",
            "cost": None,
            "score": None,
            "why": bad.why,
        },
    ]
    assert third["spent"]["trials"] == 2
    for look in seen:
        everything = json.dumps(look)
        assert "987654" not in everything
        assert "hunter2" not in everything
        assert Secretive.title not in everything
        assert "not for you" not in everything
        assert look["folder"] == []
        assert sorted(look["open"]) == ["0", "1", "2"]
        assert look["environment"].pop("API_KEY") == "for you"
        assert look["environment"]["HOME"] == look["environment"]["SUTRO_AGENT_FOLDER"] != os.environ.get("HOME")
        assert set(look["environment"]) <= {"PATH", "HOME", "LANG", "SUTRO_AGENT_FOLDER", "LC_CTYPE"}
    assert len({look["environment"]["HOME"] for look in seen}) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"command": "python agent.py"}, "command must be a list of strings.*got 'python agent.py'"),
        ({"command": []}, "command must name a program"),
        ({"command": [sys.executable, 3]}, "command must be a list of strings"),
        ({"command": [sys.executable, "a\0b"]}, "command must be a list of strings"),
        ({"command": ["no-such-program-here"]}, "command 'no-such-program-here' not found"),
        ({"command": ["/"]}, "command '/' not found"),
        ({"command": [sys.executable], "timeout": 0}, r"timeout must be 0\.01 to 86400 \(got 0\)"),
        ({"command": [sys.executable], "timeout": True}, r"timeout must be .* \(got True\)"),
        ({"command": [sys.executable], "timeout": float("nan")}, r"timeout must be .* \(got nan\)"),
        ({"command": [sys.executable], "max_bytes": 0}, r"max_bytes must be .* \(got 0\)"),
        ({"command": [sys.executable], "max_bytes": 10.5}, "max_bytes must be an integer .got 10.5"),
        ({"command": [sys.executable], "variables": "HOME"}, "variables must be a list of strings"),
        (
            {"command": [sys.executable], "variables": ["NOT_SET_HERE"]},
            "missing: NOT_SET_HERE",
        ),
        ({"command": [sys.executable], "pairs": 0}, "pairs must be at least 1"),
    ],
)
def test_an_agent_that_cannot_work_is_refused_before_anything_runs(options, reason):
    with pytest.raises(ValueError, match=reason):
        ExternalAgent(**options)


def test_a_program_that_the_system_cannot_start_is_named_and_nothing_is_charged(tmp_path):
    program = tmp_path / "no-program"
    program.write_bytes(b"\x00\x01\x02")
    program.chmod(0o755)
    trials = []
    with pytest.raises(ValueError, match=r"no-program.*cannot be started"):
        improve([str(program)], on_trial=trials.append)
    assert trials == []


def test_a_relative_path_to_the_program_is_one_from_here(tmp_path, monkeypatch):
    program = tmp_path / "my-agent"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(START)}'\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert improve(["./my-agent"], trials=1).trials[0].state is TrialState.SOLVED


def test_a_long_reason_keeps_its_beginning_and_its_end():
    assert shorten_reason("short") == "short"
    assert shorten_reason("a" * 200) == "a" * 200
    assert shorten_reason("a" * 300 + "b" * 300) == "a" * 100 + " ... " + "b" * 95
