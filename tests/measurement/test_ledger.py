import json
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from builders import measurement
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.core.paths import ROOT
from sutrolib.measurement.ledger import Ledger, UnreadableMeasurement
from sutrolib.meters.base import Kind, Reading


def test_what_is_added_is_what_is_read(tmp_path):
    added = measurement()
    path = Ledger(tmp_path).add(added)
    assert Ledger(tmp_path).measurements() == [added]
    assert path.name.startswith("20260102T030405.000006-")


text = st.text(max_size=20)
values = st.floats(min_value=5e-324, max_value=1.7e308)


@given(
    name=text,
    seed=st.integers(-(2**70), 2**70),
    score=st.floats(allow_nan=False, allow_infinity=False),
    value=values,
    kind=st.sampled_from(Kind),
    detail=st.dictionaries(text, st.one_of(text, st.integers(), values, st.booleans(), st.none())),
)
def test_any_measurement_survives_the_round_trip(name, seed, score, value, kind, detail):
    made = measurement(
        seed=seed, score=score, prior_knowledge=name, readings=(Reading(name, value, name, kind, detail),)
    )
    with tempfile.TemporaryDirectory() as folder:
        Ledger(folder).add(made)
        assert Ledger(folder).measurements() == [made]


def test_adding_twice_changes_nothing(tmp_path):
    one, other = (Ledger(tmp_path).add(measurement()) for _ in range(2))
    assert one == other
    assert len(list(tmp_path.iterdir())) == 1


def damage_truncate(content):
    return content[: len(content) // 2]


def damage_a_digit(content):
    return content.replace(b'"value": 10.0', b'"value": 11.0')


@pytest.mark.parametrize("damage", [damage_truncate, damage_a_digit, lambda content: b"", lambda content: b"\xff\x00"])
def test_a_damaged_file_is_named_and_skipped_and_never_deleted(tmp_path, damage):
    ledger = Ledger(tmp_path)
    bad = ledger.add(measurement(seed=1))
    ledger.add(measurement(seed=2))
    damaged = damage(bad.read_bytes())
    assert damaged != bad.read_bytes()
    bad.write_bytes(damaged)
    with pytest.warns(UnreadableMeasurement, match=bad.name):
        found = ledger.measurements()
    assert [m.seed for m in found] == [2]
    assert [d.path for d in ledger.read()[1]] == [bad]
    assert bad.read_bytes() == damaged


def test_a_file_of_another_shape_is_named_and_skipped(tmp_path):
    import hashlib

    content = json.dumps({"not": "a measurement"}).encode()
    (tmp_path / f"x-{hashlib.sha256(content).hexdigest()[:12]}.json").write_bytes(content)
    assert len(Ledger(tmp_path).read()[1]) == 1


def test_a_measurement_that_is_not_json_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Ledger(tmp_path).add(measurement(score=float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Ledger(tmp_path / "file").add(measurement())


def test_left_over_temporary_files_are_not_measurements(tmp_path):
    (tmp_path / ".abc.tmp").write_text("{")
    assert Ledger(tmp_path).read() == ([], [])


def test_the_table_has_a_row_for_each_reading_and_a_column_for_each_field(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(measurement(seed=1))
    ledger.add(measurement(seed=2, kind=Kind.ESTIMATED))
    frame = ledger.frame()
    assert len(frame) == 4
    assert sorted(frame[frame.metric == "cost"].kind) == ["counted", "estimated"]
    assert set(frame["problem.n"]) == {20}
    assert set(frame["model.hidden"]) == {5}
    assert Ledger(tmp_path / "none").frame().empty
    assert "metric" in Ledger(tmp_path / "none").frame().columns


WRITER = """
    import sys
    sys.path[:0] = [{root!r}, {tests!r}]
    from builders import measurement
    from sutrolib.measurement.ledger import Ledger
    ledger = Ledger({folder!r})
    for number in range(int(sys.argv[2])):
        # Large, so that a kill often falls into a write.
        made = measurement(seed=number, prior_knowledge=sys.argv[1] + "x" * 200_000)
        print(ledger.add(made).name, flush=True)
"""


def test_processes_writing_at_once_lose_nothing_and_a_killed_one_damages_nothing(tmp_path):
    source = textwrap.dedent(WRITER).format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))

    def writer(name, count):
        return subprocess.Popen([sys.executable, "-c", source, name, str(count)], stdout=subprocess.PIPE, text=True)

    victim, survivors = writer("victim", 1_000_000), [writer(f"survivor {n}", 40) for n in range(2)]
    first = victim.stdout.readline()
    time.sleep(0.2)
    victim.send_signal(signal.SIGKILL)
    reported = [first, *victim.stdout.readlines()]
    reported += [line for process in survivors for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in survivors] == [0, 0]
    assert victim.wait() == -signal.SIGKILL
    whole = [line.strip() for line in reported if line.strip().endswith(".json")]
    assert len(whole) > 80
    assert {name for name in whole if not (Path(tmp_path) / name).exists()} == set()
    measurements, damaged = Ledger(tmp_path).read()
    assert damaged == []
    assert len(measurements) >= len(set(whole))
