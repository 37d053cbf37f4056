"""What the tables of the walk say follows from its records."""

from walks import EXPECTED, RATIO, record

from sutrolib.core.cube import MISTAKES
from sutrolib.core.stats import Interval
from sutrolib.measurement.walk_records import Sign
from sutrolib.walk.tables import guards_table, lineage, searches_at, steps_table, title, unaided_table


def test_a_step_is_shown_with_what_was_expected_and_seen():
    missed = record(2, plan={"expectation": EXPECTED | {"high": 0.4, "value": 0.4}})
    rows = steps_table([record(1), missed, record(3, quantities={})])[1]
    assert rows[0][1] == "metric: ard -> dmd"
    assert rows[0][2:6] == ("ratio 0.6 (0.3 to 1)", "0.5 [0.4, 0.6]", "yes", "go")
    assert [row[4] for row in rows] == ["yes", "no", ""]
    assert rows[2][3] == "not found"
    assert title(record(3, attempt=2, remedy="more budget")) == "3, try 2: more budget"


def test_the_lineage_names_what_is_new_in_a_champion():
    other = {"name": "new", "sizes": {"width": 8, "name": "inner"}}
    begun = record(5, champion=other, refused="none of the families")
    kept = record(2, champion={"name": "old", "lr": 0.1})
    rows = lineage([record(1), begun, kept])[1]
    assert [row[3] for row in rows] == [
        "lr 0.1 -> 0.25",
        "another algorithm (sizes.width 8); the inherited one could not begin: none of the families",
        "nothing",
    ]


def test_each_kind_of_step_says_what_guards_it():
    study = {"audit": "ARD is not safe", "trials": [{"why": "solved; failed 'no work outside the trace': numpy"}]}
    metric = record(1, studies=[study], quantities={"correlation": 0.7, "best kept": 3, "ranked": 9})
    problem = record(2, quantities={"inherited solved": 0.4, "inherited failed": ""})
    process = record(
        3,
        Sign.TURN_BACK,
        quantities={"found": {"new": ["noise-robust GF(2) (a=1)", "noise-robust GF(2)"], "old": ["net (lr=1)", ""]}},
    )
    closed = {"ratio": RATIO, "solved": 0.8}
    last = record(11, quantities={"closed": closed, "ratio to the start of closed": RATIO})
    rows = guards_table([metric, problem, process, last])[1]
    proxy, parts, risk, future = (mistake.title for mistake in MISTAKES)
    said = {(row[0], row[1], row[2]) for row in rows}
    assert (
        "1",
        proxy,
        "rank correlation of ard and dmd: 0.7; 3 of the old metric's best five stay, of 9 trials",
    ) in said
    assert ("1", proxy, "ARD is not safe") in said
    assert ("1", proxy, "trials that the checks against metric gaming refused: 1") in said
    assert ("2", future, "the kept algorithm solves 40% of the fresh seeds") in said
    assert ("3", risk, "search found noise-robust GF(2) (2); by-hand net (1), nothing (1)") in said
    assert ("3", risk, "turn back: why") in said
    both = "cost / published recipe: 0.5 [0.4, 0.6] with every family, 0.5 [0.4, 0.6] (80% of the fresh seeds solved)"
    assert ("11", parts, f"{both} with its network alone") in said


def test_searches_are_counted_at_their_position_repetitions_included():
    tries = [record(1, studies=[{}] * 5), record(1, attempt=2, studies=[{}] * 3), record(2, studies=[{}])]
    assert searches_at(tries) == {record(1).position: 8, record(2).position: 1}


def test_what_the_process_found_is_held_against_what_was_designed():
    narrow = {"ratio": RATIO, "solved": 0.6, "champion": {"name": "their network"}}
    known = {"solved": 1.0, "closed": narrow, "ratio to the start of closed": RATIO}
    last = record(11, champion={"name": "n-gram"}, quantities=known)
    designed = {"open": ("counting", Interval(0.01, 0.009, 0.011)), "closed": ("recipe", Interval(0.1, 0.1, 0.1))}
    rows = unaided_table(last, designed)[1]
    assert [(row[0], row[1], row[3], row[5]) for row in rows] == [
        ("open", "n-gram (100% of the fresh seeds solved)", "counting", "50"),
        ("closed", "their network (60% of the fresh seeds solved)", "recipe", "5"),
    ]


def test_where_the_process_found_nothing_cheaper_than_its_start_the_table_says_so():
    narrow = {"ratio": {"value": 1.0, "low": 1.0, "high": 1.0, "points": [1.0] * 5}, "solved": 0.6}
    last = record(11, quantities={"closed": {**narrow, "champion": {"name": "GPT"}}})
    ((_, found, *_),) = unaided_table(last, {"closed": ("recipe", Interval(0.1, 0.1, 0.1))})[1]
    assert found == "nothing cheaper than the published recipe (60% of the fresh seeds solved)"
