import re

import pytest
from exams import TINY, fake_run, record_of

from sutrolib.exam.entries import BASELINE, CLOSED, OPEN
from sutrolib.exam.plots import cost_labels, draw_pareto_front
from sutrolib.exam.record import new_record
from sutrolib.exam.verdict import verdict_of
from sutrolib.notebook.widgets import explorers as module
from sutrolib.notebook.widgets import pareto_panel
from sutrolib.notebook.widgets.layout import PANEL, status

BETTER = {"energy": 50.0, "seconds": 5.0, "loss": 1.9, "accuracy": 0.51, "work": 0.5}


@pytest.fixture(autouse=True)
def exams(tmp_path, monkeypatch):
    """Two exams at a made-up scale, and no other."""
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))
    monkeypatch.setattr(module, "SCALES", {"tiny": lambda: TINY})


def opened():
    record = new_record(TINY, OPEN, 5)
    cheap, costly = {"energy": 10.0, "size": 10.0}, {"energy": 300.0, "accuracy": 0.6}
    for name, numbers in ((BASELINE, {}), ("bigram", BETTER | cheap), ("trigram", BETTER | costly)):
        record.measurements[name] = {seed: fake_run(seed, **numbers) for seed in range(5)}
    return record


class Explorer:
    """The panel and its controls."""

    def __init__(self):
        self.panel = pareto_panel()
        self.exam, self.cost, self.score, self.entry, row = self.panel.children
        self.picture, self.text = row.children

    @property
    def alt(self):
        return re.search('alt="(.*?)"', self.picture.value)[1]


def test_the_exams_that_have_a_record_can_be_chosen_and_their_axes_carry_units_and_kinds():
    opened().save()
    record_of(**BETTER).save()
    explorer = Explorer()
    assert PANEL in explorer.panel._dom_classes
    assert explorer.exam.options == (
        ("open division, scale tiny", ("tiny", OPEN)),
        ("closed division, scale tiny", ("tiny", CLOSED)),
    )
    assert [label for label, _ in explorer.cost.options] == [
        "training energy, J (codecarbon, estimated)",
        "training time, s (measured)",
        "cache energy of training, J (modelled)",
        "training operations (counted)",
        "energy of 1,000 predictions, J (codecarbon, estimated)",
        "time of 1,000 predictions, s (measured)",
        "model size, B (counted)",
    ]
    assert [name for _, name in explorer.entry.options] == ["bigram", "trigram"]


def test_figure_and_table_follow_the_axes_and_the_entry():
    opened().save()
    explorer = Explorer()
    assert "bigram: passed." in explorer.text.value
    assert "bigram: 9.96 times less energy at a loss of 1.900 instead of 2.000" in explorer.alt
    explorer.cost.value, explorer.score.value = "model-size", "accuracy"
    assert "bigram: 100 times less model size at an accuracy of 0.510 instead of 0.500" in explorer.alt
    before = explorer.picture.value
    explorer.entry.value = "trigram"
    assert explorer.picture.value != before
    assert "trigram circled" in explorer.alt
    assert "trigram: not passed." in explorer.text.value
    line = verdict_of(opened(), "trigram").line("training energy")
    row = f"<td>training energy</td><td>estimated</td><td>{line.baseline:.4g} J</td><td>{line.candidate:.4g} J</td>"
    assert f"{row}<td>x {line}</td><td>not met</td>" in explorer.text.value


def test_what_was_chosen_stays_chosen_in_the_other_exam_where_it_is_there():
    opened().save()
    record_of(**BETTER).save()
    explorer = Explorer()
    explorer.cost.value, explorer.score.value = "time", "accuracy"
    explorer.exam.value = ("tiny", CLOSED)
    assert (explorer.cost.value, explorer.score.value, explorer.entry.value) == ("time", "accuracy", "other rate")
    assert "other rate: passed." in explorer.text.value
    assert "other rate: 2.01 times less time at an accuracy of" in explorer.alt


def test_no_record_an_empty_one_and_a_broken_one_each_say_so():
    assert "There is no record of an exam yet" in pareto_panel().children[0].value
    new_record(TINY, CLOSED, 5).save()
    assert Explorer().text.value == status("This exam has no runs yet.")
    new_record(TINY, CLOSED, 5).path.write_text("<b>no record</b>")
    explorer = Explorer()
    assert "is not an exam record" in explorer.text.value
    assert explorer.picture.value == ""


def test_the_pareto_front_holds_the_undominated_entries_and_the_entry_is_circled():
    ax = draw_pareto_front(opened(), score="accuracy", highlight="bigram").axes[0]
    front = next(line for line in ax.lines if line.get_label().startswith("Pareto front"))
    assert [round(x, -1) for x in front.get_xdata()] == [10, 300]
    assert list(front.get_ydata()) == pytest.approx([0.51, 0.6], abs=0.001)
    (ring,) = (line for line in ax.lines if line.get_markersize() == 20)
    assert ring.get_xdata() == front.get_xdata()[0]
    on_loss = draw_pareto_front(opened()).axes[0]
    front = next(line for line in on_loss.lines if line.get_label().startswith("Pareto front"))
    assert round(front.get_xdata()[0]) == 10
    assert round(min(front.get_ydata()), 2) == 1.9  # the baseline's is 2
    assert not [line for line in on_loss.lines if line.get_markersize() == 20]


def test_a_reading_that_somebody_lacks_is_no_axis_and_no_cost_at_all_is_drawn_empty():
    record = opened()
    assert "model-size" in cost_labels(record)
    for seed, run in record.measurements["bigram"].items():
        kept = tuple(reading for reading in run.readings if reading.name != "model-size")
        record.measurements["bigram"][seed] = fake_run(seed, readings=kept)
    assert "model-size" not in cost_labels(record)
    record.measurements.clear()
    assert cost_labels(record) == {}
    assert draw_pareto_front(record).axes[0].get_title("left") or draw_pareto_front(record).axes[0].get_title()
