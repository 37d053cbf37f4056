"""The tables and the figure of a batch, whatever mixture of notebooks and parameters was run."""

import csv
import dataclasses
import io
import json
import os
import re
from contextlib import nullcontext

import pandas as pd
import pytest

from sutrolib.batch import plots, records
from sutrolib.batch.plots import choose_panels, draw_comparison, panels_of, title_of
from sutrolib.batch.records import RunResult
from sutrolib.batch.tables import MAX_COLUMNS, Tables, type_of


def outcome(number, notebook="10_a", error="", **parameters):
    found = {} if error else {"results": {"q": 2.0 * number, "none": None}, "kinds": {"q": "counted"}}
    return RunResult(
        identity=f"{number:08x}{0:056x}",
        number=number,
        notebook=notebook,
        label=f"{notebook} {parameters}",
        parameters=parameters,
        seconds=1.5,
        when=f"2026-01-01T00:00:{number:02d}+00:00",
        error=error,
        finding="" if error else f"a finding, with a comma and <b>{number}</b> | pipe",
        expected={} if error else {"q": [0.0, 5.0, "because"]},
        **found,
    )


def written(folder, outcomes):
    for one in outcomes:
        records.write(folder, one)
    Tables(folder).finish()
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return pd.read_parquet(io.BytesIO((folder / "results.parquet").read_bytes())), rows


def test_one_table_holds_every_run_and_quantity_with_the_types_that_were_declared(tmp_path):
    frame, rows = written(
        tmp_path,
        [
            outcome(1, n=5, lr=0.5, profile="quick", deep=True, size=3),
            outcome(2, n=6, lr=0.25, profile="full", deep=False, size=3),
            outcome(3, "20_b", size=0.5, seed=2**70),
            outcome(4, "30_c", deep="yes"),
            outcome(5, error="cell 3: ValueError: no", n=7),
        ],
    )
    assert len(frame) == len(rows) == 4 * 2 + 1
    assert list(frame.columns) == list(rows[0])
    first = frame[(frame["run"] == f"{1:08x}") & (frame["quantity"] == "q")].iloc[0]
    assert (first["n"], first["lr"], first["profile"], first["value"]) == (5, 0.5, "quick", 2.0)
    assert (first["kind"], first["low"], first["high"], first["status"]) == ("counted", 0.0, 5.0, "passed")
    assert set(frame["deep"].dropna()) == {"True", "False", "yes"}, "bool in one and str in another"
    assert "size" not in frame.columns, "it does not vary within a notebook"
    assert json.loads(frame["parameters"][4]) == {"size": 0.5, "seed": 2**70}
    failed = frame[frame["status"] == "failed"]
    assert list(failed["error"]) == ["cell 3: ValueError: no"]
    assert failed["quantity"].isna().all()
    assert rows[-1]["quantity"] == rows[-1]["value"] == ""
    assert rows[0]["finding"] == "a finding, with a comma and <b>1</b> | pipe"


def test_whole_numbers_stay_whole_beside_runs_without_them(tmp_path):
    from pyarrow import parquet

    runs = [outcome(1, n=2**60 + 1, s=2**70, size=3), outcome(2, n=2, s=0, size=0.5)]
    frame, _ = written(tmp_path, [*runs, outcome(3, "20_b", m=True), outcome(4, "20_b", m=False)])
    schema = parquet.read_schema(tmp_path / "results.parquet")
    assert (str(schema.field("n").type), str(schema.field("m").type)) == ("int64", "bool")
    assert parquet.read_table(tmp_path / "results.parquet")["n"].to_pylist()[0] == 2**60 + 1
    assert sorted(frame["size"].dropna().unique()) == [0.5, 3.0], "int in one run and float in another"
    assert set(frame["s"].dropna()) == {str(2**70), "0"}, "wider than a column of integers"


def test_however_many_parameters_there_are_the_table_stays_narrow(tmp_path):
    many = [outcome(n, f"{n % 3}0_a", **{f"p{i}_{n % 3}": n for i in range(9)}) for n in range(1, 10)]
    frame, _ = written(tmp_path, many)
    assert len(frame.columns) == MAX_COLUMNS
    assert [json.loads(text)["p8_1"] for text in frame["parameters"] if "p8_1" in text] == [1, 1, 4, 4, 7, 7]


def test_a_parameter_that_was_given_has_a_column_after_those_that_vary(tmp_path):
    runs = [dataclasses.replace(outcome(n, n=5, m=n, k=1), label=f"10_a n=5 m={n}") for n in (1, 2)]
    frame, _ = written(tmp_path, runs)
    assert list(frame.columns[2:5]) == ["m", "n", "status"]
    assert frame["n"].tolist() == [5] * 4


def test_runs_are_named_by_as_few_digits_as_tell_them_apart(tmp_path):
    runs = [dataclasses.replace(outcome(n, n=n), identity=f"{'ab' * 5}{n}{'c' * 53}") for n in (1, 2)]
    frame, _ = written(tmp_path, runs)
    assert set(frame["run"]) == {"ab" * 5 + "1", "ab" * 5 + "2"}


def test_what_cannot_be_written_as_utf8_costs_no_row(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    latin = dataclasses.replace(outcome(1, text="caf\udce9"), finding="\udce9", error="\udce9", worker="\udce9")
    frame, rows = written(folder, [latin, outcome(2, text="é")])
    assert frame["text"].tolist() == ["caf?", "caf?", "é", "é"]
    assert [json.loads(row["parameters"])["text"] for row in rows] == ["caf?", "caf?", "é", "é"]
    assert "| 10_a {'text': 'caf" in (folder / "findings.md").read_text()
    assert (folder / "comparison.svg").exists()


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, None, 2], "Int64"),
        ([1, 2.5], "Float64"),
        ([1.0, 2.0], "Float64"),
        ([True, None], "boolean"),
        ([True, 1], "string"),
        (["a", 1], "string"),
        ([2**63], "string"),
        ([-(2**63)], "Int64"),
        ([None], "string"),
    ],
)
def test_the_type_of_a_column_is_what_its_cells_have_in_common(cells, kind):
    assert type_of(pd.Series(cells, dtype=object)) == kind


def test_a_parameter_named_as_a_fixed_column_does_not_take_its_place(tmp_path):
    runs = [outcome(1, value=7, run="x", seconds=3.0), outcome(2, value=8, run="y", seconds=4.0)]
    frame, rows = written(tmp_path, runs)
    assert (rows[0]["value"], rows[0]["parameter.value"], rows[0]["parameter.run"]) == ("2.0", "7", "x")
    assert frame["parameter.seconds"].tolist() == [3.0, 3.0, 4.0, 4.0]


def test_findings_for_people_hold_every_run_and_no_html(tmp_path):
    written(tmp_path, [outcome(1, n=1), outcome(2, n=2, error="<script>alert(1)</script>")])
    text = (tmp_path / "findings.md").read_text()
    assert "&lt;b&gt;1&lt;/b&gt; \\| pipe" in text
    assert "<script>" not in text
    assert text.count("\n| 10_a") == 2


def test_a_number_that_is_not_finite_is_recorded_as_none(tmp_path):
    one = dataclasses.replace(outcome(1, n=1), results={"q": float("inf"), "r": float("nan"), "s": 1.0})
    records.write(tmp_path, one)
    assert records.read_all(tmp_path)[0].results == {"q": None, "r": None, "s": 1.0}


def test_a_number_is_drawn_over_its_values_and_seeds_are_repeats_around_their_median():
    runs = [outcome(number, n=10 * (number // 3), seed=number % 3) for number in range(1, 10)]
    (panel,) = panels_of(runs)
    assert (panel.x, panel.by, panel.quantity) == ("n", (), "q")
    assert len(panel.data) == 9
    (panel,) = panels_of([outcome(number, n=1, seed=number) for number in range(3)])
    assert panel.x == "seed"
    assert panels_of([outcome(1, n=1), outcome(2, "20_b", n=1)]) == [], "one run of each says nothing of parameters"


def test_a_second_parameter_tells_the_series_apart():
    runs = [outcome(2 * n + (order == "b"), n=n, order=order, seed=0) for n in (1, 2, 3) for order in ("a", "b")]
    (panel,) = panels_of(runs)
    assert (panel.x, panel.by) == ("n", ("order",))
    assert set(panel.data["series"]) == {"order=a", "order=b"}


def test_the_title_is_computed_from_the_data():
    moving = [outcome(1, n=1), outcome(2, n=2)]
    assert (
        title_of(panels_of(moving))
        == "Over n, 'q' (10_a) changes most, from 2 to 4; 1 of 1 expectations hold in every run"
    )
    beyond = title_of(panels_of([*moving, outcome(3, n=3)]))
    assert beyond == "Over n, 'q' (10_a) changes most, from 2 to 6; 0 of 1 expectations hold in every run"


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([outcome(1, n=1), outcome(2, n=2), outcome(3, n=3)], "Over n, 'q' (10_a) changes most, from 2 to 6"),
        ([outcome(n, kind="ab"[n % 2], seed=n // 2) for n in range(6)], "Over kind, 'q' (10_a) changes most"),
        ([outcome(n, "10_$a$", k="$x_", n=n) for n in (1, 1000)], "Over n"),
        ([outcome(1, n=1), outcome(9, "20_b", n=1)], "1 of 2 expectations hold, in 2 notebooks"),
        (
            [outcome(n, f"{n}0_a", m=m) for n in range(1, 20) for m in (1, 2)],
            "4 of 38 expectations hold, in 19 notebooks",
        ),
    ],
)
def test_a_figure_is_drawn_of_any_mixture(tmp_path, outcomes, said):
    words = draw_comparison(outcomes, tmp_path / "comparison")
    assert said in words
    assert (tmp_path / "comparison.png").stat().st_size > 5000
    assert (tmp_path / "comparison.svg").exists()


def test_a_walk_of_many_notebooks_shows_every_value_and_names_what_was_missed(tmp_path):
    long = "a quantity with a name that fills more than one line of the figure, as those of some notebooks do, " * 2
    walk = [outcome(n, f"{n:02d}_a") for n in range(1, 28)]
    walk = [dataclasses.replace(one, results={long: 9.0, **{f"q{i}": 1.0 * i for i in range(5)}}) for one in walk]
    walk = [dataclasses.replace(one, expected={name: [0.0, 5.0, "why"] for name in one.results}) for one in walk]
    draw_comparison([*walk[:20], outcome(99, error="no")], tmp_path / "comparison")
    shown = " ".join(re.findall(r">([^<>]+)</text>", (tmp_path / "comparison.svg").read_text()))
    assert "01_a: 5 as expected" in shown
    assert shown.count(" ".join(long.split())) == 20, "wrapped, not cut"
    assert "Not drawn: 1 of 21 runs" in shown
    assert "Only in results.csv" not in shown
    draw_comparison(walk, tmp_path / "comparison")
    assert "Only in results.csv: 20 more values." in (tmp_path / "comparison.svg").read_text()


def test_a_large_grid_says_what_it_leaves_out_and_cuts_no_name(tmp_path):
    names = [f"a name that is longer than a panel is wide, {n}" for n in range(7)]
    many = {f"q{i}": 1.0 for i in range(20)}
    runs = [
        dataclasses.replace(outcome(8 * n + k, n=n, name=name), results=dict.fromkeys(many, n + k + 1.0))
        for n in range(8)
        for k, name in enumerate(names)
    ]
    draw_comparison(runs, tmp_path / "comparison")
    shown = (tmp_path / "comparison.svg").read_text()
    assert "Only in results.csv: 8 more quantities." in shown
    assert shown.count("(7 settings of name as repeats)") == plots.MAX_PANELS
    draw_comparison([run for run in runs if run.parameters["n"] == 1], tmp_path / "comparison")
    shown = (tmp_path / "comparison.svg").read_text()
    assert "name: 7 values," in shown, "there is no room for the names"
    assert "…" not in shown
    short = [dataclasses.replace(run, parameters={"name": run.parameters["name"][20:]}) for run in runs[:7]]
    draw_comparison(short, tmp_path / "comparison")
    assert all(name[20:] in (tmp_path / "comparison.svg").read_text() for name in names)


def test_where_nothing_can_be_compared_there_is_no_figure(tmp_path):
    assert draw_comparison([outcome(1, error="no", n=1)], tmp_path / "comparison") == ""
    assert not list(tmp_path.iterdir())


def test_each_run_is_held_against_its_own_expectation_and_no_range_is_shaded_where_they_differ():
    own = [dataclasses.replace(outcome(n, n=n), expected={"q": [2.0 * n, 2.0 * n + 1, "n"]}) for n in (1, 2, 3)]
    (panel,) = panels_of(own)
    assert (panel.kept, panel.shade) == (True, None)
    assert title_of([panel]).endswith("1 of 1 expectations hold in every run")
    (missed,) = panels_of([own[0], dataclasses.replace(own[1], expected={"q": [0.0, 1.0, "n"]})])
    assert (missed.stated, missed.kept) == (True, False)
    (same,) = panels_of([outcome(1, n=1), outcome(2, n=2)])
    assert same.shade == (0.0, 5.0)


@pytest.mark.parametrize("failure", [RuntimeError("no <b>fonts</b>"), KeyboardInterrupt()])
def test_a_figure_that_fails_costs_no_row(tmp_path, monkeypatch, capsys, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(plots, "draw_comparison", fail)
    expected = pytest.raises(KeyboardInterrupt) if isinstance(failure, KeyboardInterrupt) else nullcontext()
    records.write(tmp_path, outcome(1, n=1))
    with expected:
        Tables(tmp_path).finish()
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2
    text = (tmp_path / "findings.md").read_text()
    assert "| 10_a" in text
    if isinstance(failure, RuntimeError):
        assert "could not be drawn: RuntimeError: no &lt;b&gt;" in text
        assert "could not be drawn: RuntimeError" in capsys.readouterr().err


def test_each_notebook_has_its_share_of_the_panels():
    many = {f"q{i}": 1.0 for i in range(30)}
    runs = [
        dataclasses.replace(
            outcome(n + 10 * k, f"{k}0_a", n=n), results={name: value * n for name, value in many.items()}
        )
        for k in (1, 2)
        for n in (1, 2)
    ]
    shown = choose_panels(panels_of(runs))
    assert len(shown) == plots.MAX_PANELS
    assert [panel.notebook for panel in shown] == ["10_a"] * 6 + ["20_a"] * 6
