"""Studies on disk: killed at any moment, cut short, shared by several workers, continued."""

import dataclasses
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from searches import CHOICES, METER, PROBLEM, SPACE
from slow_work import until

from sutrolib.core.paths import ROOT, STUDIES, study_file
from sutrolib.core.records import UnreadableRecord
from sutrolib.meters import CacheEnergy
from sutrolib.meters.access.cache_energy import HOROWITZ_2014, JOUPPI_2021
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.parallel import improve_parallel
from sutrolib.processes.samplers import PrunedTPE, RandomSearch, TPESearch, _suggest
from sutrolib.processes.space import Proposal
from sutrolib.processes.storage import KILLED_TWICE, RESULT_LOST, StudyStorage
from sutrolib.processes.study import Trial

WORKER = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from searches import METER, PROBLEM, SPACE
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import RandomSearch
search = RandomSearch(pairs=2, journal=Path({journal!r}))
print("ready", flush=True)
search.improve(PROBLEM, SPACE, METER, SearchBudget(trials={trials}))
"""


def worker(journal, trials):
    script = WORKER.format(root=str(ROOT), tests=str(ROOT / "tests"), journal=str(journal), trials=trials)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    return process


def finished(journal):
    """The results that are on disk, as they are."""
    found = {}
    for line in journal.read_bytes().splitlines() if journal.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "result" in entry.get("user_attr", {}):
            found.setdefault(entry["trial_id"], []).append(entry["user_attr"]["result"])
    return found


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_loses_no_finished_trial_and_repeats_none(tmp_path):
    journal, rng = tmp_path / "study.log", random.Random(0)
    before = {}
    for _ in range(5):
        process = worker(journal, trials=60)
        until(lambda p=process, known=before: len(finished(journal)) > len(known) or p.poll() is not None)
        time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = finished(journal)
        assert {number: after[number] for number in before} == before
        before = after
    killed = len(before)
    study = RandomSearch(pairs=2, journal=journal).improve(PROBLEM, SPACE, METER, SearchBudget(trials=60))
    assert 0 < killed < 60, "the kills came too early or too late to tell"
    assert len(study.trials) == 60
    assert len({trial.proposal.key for trial in study.trials}) == 60
    assert all(len(results) == 1 for results in finished(journal).values())


HELD = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from searches import METER, PROBLEM, SPACE
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import RandomSearch
ended, fit = [], TwoLayerNetwork.fit

def held(*arguments, **options):
    if len(ended) == {after}:
        print("held", flush=True)
        time.sleep(600)
    return fit(*arguments, **options)

TwoLayerNetwork.fit = held
RandomSearch(pairs=2, journal=Path({journal!r}), on_trial=ended.append).improve(
    PROBLEM, SPACE, METER, SearchBudget(trials=12)
)
"""


def kill_in_a_trial(journal, after, seconds=0.0):
    """Kill -9 a search of 12 trials in the middle of one, after so many others and so many seconds of it."""
    script = HELD.format(root=str(ROOT), tests=str(ROOT / "tests"), journal=str(journal), after=after)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            held = time.time()
            until(lambda: journal.stat().st_mtime >= held + seconds)
        finally:
            process.kill()


@pytest.mark.slow
def test_a_study_of_twelve_trials_that_is_killed_five_times_in_one_of_them_comes_to_all_twelve(tmp_path):
    journal = tmp_path / "study.log"
    for kill in range(1, 6):
        kill_in_a_trial(journal, after=2)
        assert len(finished(journal)) == 2 * kill
    study = RandomSearch(pairs=2, journal=journal).improve(PROBLEM, SPACE, METER, SearchBudget(trials=12))
    assert len(study.trials) == len({trial.proposal.key for trial in study.trials}) == 12
    assert TrialState.FAILED not in {trial.state for trial in study.trials}, "none was given up"
    assert all(len(results) == 1 for results in finished(journal).values())


@pytest.mark.slow
def test_the_seconds_of_a_trial_that_was_killed_in_its_middle_count_as_spent(tmp_path):
    journal = tmp_path / "study.log"
    kill_in_a_trial(journal, after=1, seconds=2.0)
    study = RandomSearch(pairs=2, journal=journal).improve(PROBLEM, SPACE, METER, SearchBudget(trials=2))
    assert len(study.trials) == 2
    assert study.spent.seconds - sum(trial.spent.seconds for trial in study.trials) >= 2.0


def test_a_study_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    search = RandomSearch(journal=tmp_path / "study.log")
    search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=4))
    seen = []
    study = dataclasses.replace(search, on_trial=seen.append).improve(PROBLEM, SPACE, METER, SearchBudget(trials=9))
    whole = RandomSearch().improve(PROBLEM, SPACE, METER, SearchBudget(trials=9))
    assert len(seen) == 5, "trials that were finished are not run again"
    assert [t.proposal for t in study.trials] == [t.proposal for t in whole.trials]
    assert [t.cost for t in study.trials] == [t.cost for t in whole.trials]


def test_a_line_that_was_cut_short_is_cut_off(tmp_path):
    path = tmp_path / "study.log"
    search = RandomSearch(journal=path)
    search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=3))
    with path.open("ab") as file:
        file.write(b'{"op_code": 8, "worker_id": "x", "trial_')
    assert len(search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=4)).trials) == 4


@pytest.mark.parametrize(
    "content",
    [
        b'{"precious": [1, 2, 3]}',
        b'{"precious": [1, 2, 3]}\n',
        b"precious\nlines\n",
        b"\x00\xff\x00",
        b"\n",
        b"[1]\n",
        b'{"op_code": 4, "worker_id": "x", "study_id": 0}\n',
        b'{"op_code": 0, "worker_id": "x", "study_name": "of another program", "directions": [1]}\n',
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "precious.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"precious\.json is no journal of a study .*name another file"):
        RandomSearch(journal=path).improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def two_trials(tmp_path_factory):
    """The lines of the journal of a study of two trials."""
    journal = tmp_path_factory.mktemp("journal") / "study.log"
    RandomSearch(journal=journal).improve(PROBLEM, SPACE, METER, SearchBudget(trials=2))
    return journal.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2] + b"\n",
        lambda line: b"\x00" * len(line) + b"\n",
        lambda line: line.replace(b'"trial_id"', b'"trial_iq"'),
        lambda line: re.sub(rb'"op_code":\d+', b'"op_code":99', line),
        lambda line: line.replace(b'"state":"solved"', b'"state":"sold"').replace(b'"state":"missed"', b'"state":"x"'),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_damaged_line_of_a_journal_is_named_and_skipped_and_the_study_goes_on(tmp_path, two_trials, damage, last):
    search, lines = RandomSearch(journal=tmp_path / "study.log"), [*two_trials]
    at = [number for number, line in enumerate(lines) if b'"result"' in line][-1]
    lines[at] = damage(lines[at])
    lines = lines[: at + 1] if last else lines
    # The process that made these trials is this one. It must not count as still at work on the one that lost its end.
    lines = [re.sub(rb'"pid":\d+', b'"pid":%d' % (2**22 + 1), line) for line in lines]
    search.journal.write_bytes(b"".join(lines))
    with pytest.warns(UnreadableRecord, match=rf"study\.log, line {at + 1} is damaged and was skipped"):
        study = search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=3))
    assert search.journal.read_bytes().startswith(b"".join(lines))
    assert len(study.trials) == 3
    assert [trial.why for trial in study.trials].count(RESULT_LOST) == (not last)


@pytest.mark.parametrize("kept", [0, 5, 30])
def test_a_journal_whose_first_line_was_cut_short_begins_anew(tmp_path, two_trials, kept):
    search = RandomSearch(journal=tmp_path / "study.log")
    search.journal.write_bytes(two_trials[0][:kept])
    assert len(search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=1)).trials) == 1


def test_a_study_with_a_number_that_is_not_finite_in_its_header_goes_on(tmp_path):
    for _ in range(2):
        StudyStorage(tmp_path / "study.log", {"clip": float("inf"), "lr": float("nan")})


def test_another_study_does_not_go_into_the_same_store(tmp_path):
    search = RandomSearch(journal=tmp_path / "study.log")
    search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    with pytest.raises(ValueError, match="holds another study: space is"):
        search.improve(PROBLEM, CHOICES, METER, SearchBudget(trials=1))
    with pytest.raises(ValueError, match=r"holds another study: settings is .*'pairs': 1.* and not .*'pairs': 2"):
        dataclasses.replace(search, pairs=2).improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    with pytest.raises(ValueError, match=r"holds another study: settings is .*'trace_updates': None"):
        dataclasses.replace(search, trace_updates=5).improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    with pytest.raises(ValueError, match="holds another study: process is 'random search' and not 'TPE with halving'"):
        PrunedTPE(journal=search.journal).improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))


def dead_trial(storage, proposal):
    """A trial that was begun by a process which is no longer there."""
    trial, _, _ = storage.begin(RandomSearch().sampler)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    trial.set_user_attr("worker", {**trial.user_attrs["worker"], "pid": gone.pid})
    if proposal:
        assert storage.claim(trial, proposal)
    return trial


def test_a_trial_that_lost_its_worker_is_tried_once_more_and_then_given_up(tmp_path):
    proposal = SPACE.start
    dead_trial(StudyStorage(tmp_path / "study.log", {}), proposal)
    second = StudyStorage(tmp_path / "study.log", {})
    trial, index, again = second.begin(RandomSearch().sampler)
    assert (again, index) == (proposal, 0)
    trial.set_user_attr("worker", second.study.trials[0].user_attrs["worker"])
    third = StudyStorage(tmp_path / "study.log", {})
    _, _, once_more = third.begin(RandomSearch().sampler)
    assert once_more is None
    assert [(t.state, t.why, t.proposal) for t in third.finished()] == [(TrialState.FAILED, KILLED_TWICE, proposal)]


def test_a_trial_that_was_lost_keeps_what_its_sampler_had_suggested(tmp_path):
    search = TPESearch(journal=tmp_path / "study.log", n_startup_trials=1)
    search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=3))
    storage = search.open_storage(PROBLEM, SPACE, METER, 0)
    trial = dead_trial(storage, None)
    suggested = _suggest(trial, SPACE)
    assert storage.claim(trial, suggested)
    other = search.open_storage(PROBLEM, SPACE, METER, 0)
    again, _, proposal = other.begin(search.sampler)
    assert proposal == suggested
    lost, retried = (other.study.trials[number] for number in (trial.number, again.number))
    assert (retried.params, retried.distributions) == (lost.params, lost.distributions) != ({}, {})


def test_a_trial_that_was_interrupted_is_tried_again_however_often(tmp_path):
    proposal = SPACE.start
    for _ in range(3):
        storage = StudyStorage(tmp_path / "study.log", {})
        trial, _, known = storage.begin(RandomSearch().sampler)
        assert known == proposal or storage.claim(trial, proposal)
        storage.interrupt(trial)
    dead = StudyStorage(tmp_path / "study.log", {})
    _, index, known = dead.begin(RandomSearch().sampler)
    assert (known, index) == (proposal, 0)


def test_who_waits_for_a_worker_on_another_host_is_asked_whether_to_go_on(tmp_path):
    class Enough(Exception):
        """Said by whoever waits."""

    def enough():
        raise Enough

    search = RandomSearch(journal=tmp_path / "study.log", on_wait=enough)
    journal = search.open_storage(PROBLEM, SPACE, METER, 0)
    trial, _, _ = journal.begin(search.sampler)
    trial.set_user_attr("worker", {**trial.user_attrs["worker"], "host": "elsewhere"})
    with pytest.raises(Enough):
        search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))


def test_a_result_that_was_written_before_its_worker_died_counts(tmp_path):
    trial = Trial(0, SPACE.start, TrialState.SOLVED, "solved", cost=3.0, score=1.0)
    dead = dead_trial(StudyStorage(tmp_path / "study.log", {}), SPACE.start)
    dead.set_user_attr("result", trial.to_dict())
    other = StudyStorage(tmp_path / "study.log", {})
    _, _, lost = other.begin(RandomSearch().sampler)
    assert lost is None
    assert other.finished() == [trial]
    assert other.study.best_value == pytest.approx(trial.objective)


def test_what_a_live_worker_is_at_is_left_to_it(tmp_path):
    one, other = (StudyStorage(tmp_path / "study.log", {}) for _ in range(2))
    ticket, _, _ = one.begin(RandomSearch().sampler)
    assert one.claim(ticket, SPACE.start)
    second, _, lost = other.begin(RandomSearch().sampler)
    assert lost is None
    assert not other.claim(second, SPACE.start)
    assert other.claim(second, Proposal(SPACE.start.family, {"hidden": 50, "lr": 0.1}))


@pytest.mark.slow
def test_several_workers_share_a_study_and_keep_to_its_budget(tmp_path):
    told = []
    search = RandomSearch(journal=tmp_path / "study.log", on_trial=told.append)
    study = improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=20), workers=2)
    assert len(study.trials) == 20
    assert len({trial.proposal.key for trial in study.trials}) == 20
    assert sorted(trial.number for trial in told) == [trial.number for trial in study.trials]
    workers = {
        frozen.user_attrs["worker"]["pid"] for frozen in StudyStorage(search.journal, header(search)).study.trials
    }
    assert len(workers) == 2
    assert os.getpid() not in workers


def header(search):
    return search.open_storage(PROBLEM, SPACE, METER, 0).study.user_attrs["header"]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_finished_trial(tmp_path):
    killed = []

    def kill(trial):
        if not killed:
            journal = StudyStorage(search.journal, header(search))
            killed.append(journal.study.trials[trial.number].user_attrs["worker"]["pid"])
            os.kill(killed[0], signal.SIGKILL)

    search = RandomSearch(journal=tmp_path / "study.log", on_trial=kill, pairs=3)
    study = improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=40), workers=2)
    assert killed
    assert len(study.trials) == 40
    assert len({trial.proposal.key for trial in study.trials}) == 40


@pytest.mark.parametrize(
    ("changes", "options", "told"),
    [
        ({"journal": None}, {}, "need a journal file"),
        ({}, {"workers": 0}, "workers must be at least 1 .got 0"),
        ({"estimate_joules": True}, {}, "estimated joules need workers=1"),
    ],
)
def test_workers_that_cannot_share_are_refused(tmp_path, changes, options, told):
    search = dataclasses.replace(RandomSearch(journal=tmp_path / "study.log"), **changes)
    with pytest.raises(ValueError, match=told):
        improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=1), **options)


@pytest.mark.slow
@pytest.mark.parametrize("search", [RandomSearch(), TPESearch(n_startup_trials=2)], ids=lambda search: search.name)
@pytest.mark.parametrize("at", [2, 4])
def test_a_study_that_was_interrupted_by_the_keyboard_goes_on_as_if_it_had_not_been(tmp_path, search, at):
    calls = []

    def interrupt_once(_):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt

    cut = dataclasses.replace(search, journal=tmp_path / "study.log", on_measurement=interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        cut.improve(PROBLEM, SPACE, METER, SearchBudget(trials=10))
    study = cut.improve(PROBLEM, SPACE, METER, SearchBudget(trials=10))
    whole = search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=10))
    assert [t.proposal for t in study.trials] == [t.proposal for t in whole.trials]


@pytest.mark.parametrize("name", ["../ledger/x", "a/b", "", ".hidden", "x" * 200])
def test_the_name_of_a_study_cannot_leave_its_folder(name):
    assert study_file("my search").parent == STUDIES
    with pytest.raises(ValueError, match="must consist of letters"):
        study_file(name)


def test_a_study_that_was_judged_on_one_machine_does_not_go_on_on_another(tmp_path):
    search, one_trial = RandomSearch(journal=tmp_path / "study.log"), SearchBudget(trials=1)
    search.improve(PROBLEM, SPACE, CacheEnergy(JOUPPI_2021), one_trial)
    with pytest.raises(ValueError, match=r"holds another study: meter is .*7 nm, 2021.* and not .*45 nm, 2014"):
        search.improve(PROBLEM, SPACE, CacheEnergy(HOROWITZ_2014), one_trial)


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from sutrolib.processes.storage import StudyStorage
storage = StudyStorage(Path({journal!r}), {{}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = Path({journal!r}).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
try:
    storage.note("long", "x" * 1000)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(os.name != "posix", reason="no limit on the size of a file here")
def test_a_full_disk_leaves_no_torn_line_and_the_next_entry_is_read(tmp_path):
    journal = tmp_path / "study.log"
    storage = StudyStorage(journal, {})
    script = FULL.format(root=str(ROOT), tests=str(ROOT / "tests"), journal=str(journal))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    content = journal.read_bytes()
    assert content.endswith(b"}\n")
    assert b"long" not in content
    storage.note("after", 1)
    assert StudyStorage(journal, {}).notes() == {"after": 1}


def test_what_a_killed_writer_left_of_a_line_is_not_glued_to_the_next_one(tmp_path):
    journal = tmp_path / "study.log"
    storage = StudyStorage(journal, {})
    with journal.open("ab") as file:
        file.write(b'{"op_code": 8, "worker_id": "x", "trial_')
    storage.note("after", 1)
    assert StudyStorage(journal, {}).notes() == {"after": 1}


def test_the_seconds_of_a_killed_and_of_an_interrupted_attempt_count_as_spent(tmp_path):
    journal = tmp_path / "study.log"
    dead_trial(StudyStorage(journal, {}), SPACE.start)
    began = StudyStorage(journal, {}).study.trials[0].datetime_start.timestamp()
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b"lost attempt" not in line]
    journal.write_bytes(b"".join(lines))
    os.utime(journal, (began + 0.01, began + 0.01))  # when its worker was last seen; the time since then is not spent
    storage = StudyStorage(journal, {})
    assert storage.notes()["lost attempt at trial 0"]["spent"]["seconds"] == pytest.approx(0.01, abs=1e-3)
    trial, _, _ = storage.begin(RandomSearch().sampler)
    storage.interrupt(trial)
    assert storage.notes()["lost attempt at trial 1"]["spent"]["seconds"] > 0
    study = RandomSearch(journal=tmp_path / "other.log")
    run = study.open_storage(PROBLEM, SPACE, METER, 0)
    run.note("lost attempt at trial 9", {"spent": {"trials": 0, "seconds": 50.0, "joules": 0.0}})
    assert study.improve(PROBLEM, SPACE, METER, SearchBudget(trials=1)).spent.seconds > 50
