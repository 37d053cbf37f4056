from builders import busy, measurement

from sutrolib.measurement.tables import cost_table, median_of
from sutrolib.meters.base import Kind, Reading


def runs_of(*costs, kind=Kind.COUNTED, **fields):
    return [measurement(seed=seed, cost=cost, kind=kind, **fields) for seed, cost in enumerate(costs)]


def test_a_column_holds_what_was_told_and_the_medians_with_their_kind():
    header, rows = cost_table({"a": runs_of(1.0, 5.0, 30.0, prior_knowledge="k")}, ("time", "cost"))
    assert header == ["", "a"]
    assert [row[0] for row in rows] == [
        "prior knowledge",
        "solved",
        "score",
        "time, s (measured)",
        "cost, units (counted)",
    ]
    assert [row[1] for row in rows] == ["k", "3 of 3", "1.000", "1", "5"]


def test_a_reading_of_another_kind_than_its_row_says_so():
    _, rows = cost_table({"a": runs_of(1.0), "b": runs_of(2.0, kind=Kind.MODELLED)}, ("cost",))
    assert rows[-1] == ["cost, units (counted)", "1", "2 (modelled)"]


def test_a_failed_run_has_no_numbers():
    failed = [measurement(score=None, failure="no parity explains this", readings=())]
    _, rows = cost_table({"a": runs_of(1.0), "b": failed}, ("cost", "ard"))
    assert [row[2] for row in rows][1:] == ["0 of 1", "failed", ""]


def test_the_median_is_over_the_runs_that_have_the_reading():
    bare = measurement(readings=(Reading("time", 1.0, "s", Kind.MEASURED),))
    assert median_of([bare, *runs_of(3.0)], "cost") == 3.0
    assert median_of([bare], "cost") is None


def test_a_time_of_a_busy_machine_and_a_reading_that_some_runs_lack_say_so():
    bare = measurement(readings=(Reading("time", 1.0, "s", Kind.MEASURED),))
    failed = measurement(score=None, failure="it diverged", readings=())
    _, rows = cost_table({"a": [*map(busy, runs_of(2.0, 3.0)), bare, failed], "b": runs_of(1.0)}, ("time", "cost"))
    assert rows[-2:] == [
        ["time, s (measured)", "1 (busy: load 0.40)", "1"],
        ["cost, units (counted)", "2.5 (of 2 of 3 runs)", "1"],
    ]
