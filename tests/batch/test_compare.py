"""What changed between two runs or two states of the ledger, and what of it is beyond the noise."""

import dataclasses
import hashlib
import json
import subprocess

import pytest
from builders import measurement
from meetings import executed, payload

from sutrolib.__main__ import main
from sutrolib.batch import comparisons as module
from sutrolib.batch import records
from sutrolib.batch.changes import ChangeStatus, compare_values
from sutrolib.batch.comparisons import compare_batches, compare_ledgers
from sutrolib.batch.records import RunResult
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.meters.base import Kind, Reading

SPREAD = (0.0, 0.1, -0.05, 0.08, -0.1)


def sample(values, kind="measured", unit="s", first_seed=0):
    return [(seed, kind, unit, value) for seed, value in enumerate(values, first_seed)]


def judge(case, quantity, *sides):
    (change,) = compare_values(*([(case, quantity, *row) for row in side] for side in sides))
    return change


def noisy(level):
    return [level * (1 + spread) for spread in SPREAD]


def test_a_change_that_every_pair_shows_is_beyond_the_noise():
    halved = [value / 2 * (1 + spread / 10) for value, spread in zip(noisy(4.0), SPREAD, strict=True)]
    change = judge("case", "time", sample(noisy(4.0)), sample(halved))
    assert change.status == ChangeStatus.MOVED
    assert change.interval.low < 0.5 < change.interval.high < 0.52
    assert change.why == "5 pairs, 95 %"
    assert change.change.startswith("x 0.5")


def test_a_change_that_the_pairs_disagree_on_is_within_it():
    change = judge("case", "time", sample(noisy(4.0)), sample(noisy(4.0)[::-1]))
    assert change.status == ChangeStatus.WITHIN
    assert change.interval.low < 1 < change.interval.high


def test_values_that_are_not_above_zero_are_compared_by_their_difference():
    change = judge("case", "gain", sample([-1.0, 0.0, 1.0, 2.0, 3.0]), sample([1.0, 2.1, 2.9, 4.0, 5.0]))
    assert change.status == ChangeStatus.MOVED
    assert change.interval.value == pytest.approx(2.0)
    assert change.change.startswith("+ 2")


def test_students_interval_is_that_of_a_textbook():
    # Ten patients' additional hours of sleep: Student, The Probable Error of a Mean, 1908, p. 20. Mean of the
    # differences 1.58, its 95 % interval 0.70 to 2.46 (t = 2.262 at 9 degrees of freedom, s = 1.23).
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    change = judge("sleep", "hours", sample(first), sample(second))
    assert change.interval.value == pytest.approx(1.58)
    assert (change.interval.low, change.interval.high) == (
        pytest.approx(0.70, abs=0.005),
        pytest.approx(2.46, abs=0.005),
    )


def test_the_noise_of_a_single_value_is_unknown_and_the_change_is_shown():
    change = judge("case", "time", sample([4.0]), sample([2.0]))
    assert (change.status, change.interval, change.change) == (ChangeStatus.UNKNOWN, None, "x 0.5")
    assert change.why == "1 of 5 pairs needed"


def test_any_change_of_a_counted_number_is_real():
    assert judge("c", "operations", sample([4.0], "counted"), sample([4.1], "counted")).status == ChangeStatus.MOVED
    assert judge("c", "operations", sample([4.0], "counted"), sample([4.0], "counted")).status == ChangeStatus.SAME


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (sample([1.0, 2.0, 3.0], "estimated"), "measured s against estimated s"),
        (sample([1.0, 2.0, 3.0], unit="ms"), "measured s against measured ms"),
        (sample([1.0], first_seed=7), "no common seed"),
    ],
)
def test_what_is_of_another_kind_unit_or_seed_is_not_compared(other, why):
    change = judge("case", "time", sample([1.0, 2.0, 3.0]), other)
    assert (change.status, change.why) == (ChangeStatus.NOT_COMPARABLE, why)


def outcome(seed=0, cost=1.0, **fields):
    made = {
        "identity": hashlib.sha256(repr((seed, fields)).encode()).hexdigest(),
        "number": seed + 1,
        "notebook": "10_first",
        "label": "10_first",
        "parameters": {"n_bits": 20, "seed": seed},
        "seconds": 1.0,
        "when": f"2026-03-10T12:00:0{seed}.000000+00:00",
        "library": "0.1.0",
        "sign": "continue",
        "results": {"cost": cost, "units": 7.0},
        "kinds": {"cost": "measured", "units": "counted"},
    }
    return RunResult(**(made | fields))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Writes a batch of these outcomes under data/runs/, and returns its folder."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")

    def write(name, outcomes):
        for one in outcomes:
            records.write(paths.RUNS / name, one)
        return paths.RUNS / name

    return write


def test_runs_that_differ_in_their_seed_are_repeats_of_one_case(runs):
    first = runs("a", [outcome(seed, cost) for seed, cost in enumerate(noisy(4.0))])
    second = runs("b", [outcome(seed, cost / 2) for seed, cost in enumerate(noisy(4.0))])
    found = {change.quantity: change for change in compare_batches(first, second).changes}
    assert (found["cost"].status, found["cost"].why, found["cost"].case) == (
        ChangeStatus.MOVED,
        "5 pairs, 95 %",
        "10_first",
    )
    assert found["units"].status == ChangeStatus.SAME


def test_cases_versions_sources_failures_and_signs_that_differ_are_told(runs):
    first = runs(
        "a", [outcome(), outcome(parameters={"n_bits": 30, "seed": 0}), outcome(notebook="11_next", identity="x")]
    )
    second = runs(
        "b",
        [
            outcome(library="0.2.0", sign="stop", error="ValueError: no"),
            outcome(parameters={"n_bits": 40, "seed": 0}),
            outcome(notebook="11_next", identity="y"),
        ],
    )
    found = compare_batches(first, second)
    told = "\n".join(found.differences)
    assert "only in A: 10_first (n_bits=30)\nonly in B: 10_first (n_bits=40)" in told
    assert "3 runs" in told
    assert "version of the library: 0.1.0 -> 0.1.0, 0.2.0" in told
    assert "source changed: 11_next" in told
    assert "10_first (n_bits=20): failed 0 of 1 -> 1 of 1" in told
    assert "10_first (n_bits=20): sign of life continue -> stop" in told


def test_a_run_that_was_killed_says_nothing_of_the_source(runs):
    killed = {"library": "", "error": "its worker was killed twice"}
    first, second = runs("a", [outcome(identity="x", **killed)]), runs("b", [outcome(identity="y", **killed)])
    assert not any("source changed" in line for line in compare_batches(first, second).differences)


def test_a_folder_of_executed_copies_is_a_run_too(tmp_path):
    executed(tmp_path / "a", "001-10_first")
    executed(tmp_path / "b", "001-10_first", payload(results={"cost ratio": 0.4, "units": 25.0}))
    found = {change.quantity: change.status for change in compare_batches(tmp_path / "a", tmp_path / "b").changes}
    assert found == {
        "cost ratio": ChangeStatus.UNKNOWN,
        "units": ChangeStatus.SAME,
        "seeds solved, %": ChangeStatus.NOT_COMPARABLE,
    }


def test_a_folder_without_a_run_is_refused(tmp_path):
    executed(tmp_path / "a", "001-10_first")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="b holds no run; name the folder of a batch"):
        compare_batches(tmp_path / "a", tmp_path / "b")


def weighed(cost, seed, **fields):
    return measurement(seed=seed, readings=(Reading("cost", cost, "units", Kind.MEASURED),), **fields)


def test_what_the_ledger_gained_is_set_against_what_it_held_before():
    before = [weighed(cost, seed) for seed, cost in enumerate(noisy(4.0))]
    again = [weighed(cost / 2, seed, when="2026-03-01T00:00:00+00:00") for seed, cost in enumerate(noisy(4.0))]
    other = weighed(1.0, 0, model={"name": "another"}, versions={"torch": "3"}, machine={"cores": 2})
    found = compare_ledgers(before, [*before, *again, other])
    told = "\n".join(found.differences)
    assert "measurements: 5 -> 11 (6 added, 0 gone)" in told
    assert "versions, torch: none -> 3, none" in told or "versions, torch: none -> none, 3" in told
    assert "machine, cores: none -> 2, none" in told or "machine, cores: none -> none, 2" in told
    assert "only in B: another on sparse parity" in told
    answers = {change.quantity: change.status for change in found.changes}
    assert answers == {"cost, units": ChangeStatus.MOVED, "score, accuracy": ChangeStatus.SAME}
    assert {change.kind for change in found.changes if change.quantity == "score, accuracy"} == {"counted"}


def test_cases_of_one_model_are_told_apart_by_the_fields_in_which_they_differ():
    narrow, wide = ({"name": "network", "hidden": width, "lr": 0.1} for width in (5, 50))
    before = [weighed(1.0, 0, model=narrow), weighed(2.0, 0, model=wide)]
    after = [dataclasses.replace(m, when="2026-03-01T00:00:00+00:00") for m in before]
    cases = {change.case for change in compare_ledgers(before, [*before, *after]).changes}
    assert cases == {"network (hidden=5) on sparse parity", "network (hidden=50) on sparse parity"}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with two commits of a ledger, and one more measurement that is not committed."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setenv("SUTRO_LEDGER", str(tmp_path / "data" / "ledger"))
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for number, costs in enumerate((noisy(4.0), noisy(2.0))):
        for seed, cost in enumerate(costs):
            Ledger().add(weighed(cost, seed, when=f"2026-03-0{number + 1}T00:00:00.000000+00:00"))
        for command in (["add", "."], [*who, "commit", "-q", "-m", f"{number}"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
    Ledger().add(weighed(2.0, 9))
    return tmp_path


def test_two_commits_of_the_ledger_are_compared_on_the_terminal(checkout, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["compare", "HEAD~1", "HEAD"]) == 0
    told = capsys.readouterr().out
    assert "measurements: 5 -> 10 (5 added, 0 gone)" in told
    assert "made up on sparse parity" in told
    assert "x 0.5 [0.5, 0.5]" in told
    assert "2 numbers on both sides: 1 moved, 1 the same." in told


def test_a_commit_is_compared_with_the_ledger_as_it_is(checkout, capsys):
    assert main(["compare", "HEAD", "ledger"]) == 0
    assert "measurements: 10 -> 11 (1 added, 0 gone)" in capsys.readouterr().out
    assert main(["compare", "HEAD", str(checkout / "data" / "ledger")]) == 0
    assert "measurements: 10 -> 11 (1 added, 0 gone)" in capsys.readouterr().out
    assert main(["compare", "HEAD", "HEAD"]) == 0
    assert "No number is on both sides: the parameters differ, or nothing was published." in capsys.readouterr().out


def test_a_commit_from_when_each_measurement_was_a_file_is_read_too(checkout):
    """Such files name the prior knowledge otherwise; one that is damaged is left out."""
    record = weighed(4.0, 0).to_dict()
    record["told"] = record.pop("prior_knowledge")
    for path in (checkout / "data" / "ledger").glob("*"):
        path.unlink()
    (checkout / "data" / "ledger" / "20260102T030405.000006-0123456789ab.json").write_text(json.dumps(record))
    (checkout / "data" / "ledger" / "20260102T030405.000007-0123456789ab.json").write_text("{")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "-A", "."], [*who, "commit", "-q", "-m", "as it was"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    assert module.ledger_at("HEAD") == [weighed(4.0, 0)]


@pytest.mark.parametrize("name", ["nothing", "HEAD~99", "../..", ""])
def test_what_is_neither_a_run_nor_a_commit_is_refused_with_what_there_is(checkout, capsys, name):
    records.write(paths.RUNS / "20260310T120000Z", outcome())
    assert main(["compare", name, "HEAD"]) == 2
    told = capsys.readouterr().err
    assert f"{name!r} is neither a run nor a commit; the newest runs are 20260310T120000Z" in told
    assert "`git log data/ledger` lists commits" in told


def test_a_commit_without_a_ledger_is_empty_and_one_that_git_does_not_hand_out_is_an_error(checkout):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["rm", "-rq", "--cached", "data"], [*who, "commit", "-q", "--allow-empty", "-m", "none"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    assert module.ledger_at("HEAD") == []
    with pytest.raises(OSError, match="git ls-tree failed in"):
        module.ledger_at("f" * 40)


def test_an_option_is_never_handed_to_git_as_a_commit(checkout):
    assert module.commit_of("--output=x") == ""
    assert module.commit_of("-h") == ""


def test_a_run_and_a_commit_are_not_compared(checkout, capsys):
    records.write(paths.RUNS / "mine", outcome())
    assert main(["compare", "mine", "HEAD"]) == 2
    assert "'mine' is a run and 'HEAD' is not; give two runs" in capsys.readouterr().err


def test_text_of_notebooks_is_no_markup_of_the_terminal(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    runs("a", [outcome(results={"[red]cost[/red]": 1.0}, kinds={})])
    runs("b", [outcome(results={"[red]cost[/red]": 2.0}, kinds={})])
    assert main(["compare", "a", "b"]) == 0
    assert "[red]cost[/red]" in capsys.readouterr().out
