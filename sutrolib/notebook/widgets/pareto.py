"""The exam's frontier: which cost against which score, for an exam whose record is there; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from sutrolib.exam.entries import CLOSED, OPEN, SCALES
from sutrolib.exam.plots import SCORES, cost_labels, draw_pareto_front
from sutrolib.exam.record import ExamRecord, read_record
from sutrolib.exam.store import exam_path
from sutrolib.exam.table import comparison_cells
from sutrolib.exam.verdict import verdict_of
from sutrolib.notebook.widgets.layout import hbox, dropdown, html_table, image, panel, status

if TYPE_CHECKING:
    from ipywidgets import Dropdown, VBox

NONE = "There is no record of an exam yet. To hold one: python -m sutrolib exam --division closed --scale smoke"


def pareto_panel() -> VBox:
    """An exam, a cost, a score and an entry; the figure with the front, and the table of entry against baseline."""
    import ipywidgets as widgets
    from matplotlib import pyplot as plt

    there = [(scale, d) for scale in reversed(SCALES) for d in (OPEN, CLOSED) if exam_path(scale, d).exists()]
    if not there:
        return panel([widgets.HTML(status(NONE))])
    exam = dropdown("exam", [(f"{division} division, scale {scale}", (scale, division)) for scale, division in there])
    cost, score = dropdown("across", []), dropdown("up", [(label, name) for name, label in SCORES.items()])
    entry = dropdown("entry", [])
    picture, text = widgets.HTML(), widgets.HTML()
    read: list[ExamRecord] = []  # the record on show; empty while the choices are not all of one exam

    def redraw(_change: object = None) -> None:
        if not read:
            return
        figure = draw_pareto_front(read[0], cost.value, score.value, entry.value)
        what = f"{score.label} against {cost.label}, {exam.label}, {entry.value} circled"
        picture.value = image(figure, f"{what}. {figure.axes[0].get_title('left')}")
        plt.close(figure)
        text.value = against_baseline(read[0], entry.value)

    def take(_change: object = None) -> None:
        read.clear()
        picture.value = text.value = ""
        try:
            record = read_record(exam_path(*exam.value))
        except (OSError, ValueError) as error:
            text.value = status(str(error))
            return
        costs = cost_labels(record)
        if not costs:
            text.value = status("Nobody has sat this exam yet.")
            return
        _offer(cost, [(label, name) for name, label in costs.items()])
        _offer(entry, [(name, name) for name in record.entries])
        read.append(record)
        redraw()

    exam.observe(take, names="value")
    for control in (cost, score, entry):
        control.observe(redraw, names="value")
    take()
    return panel([exam, cost, score, entry, hbox(picture, text)])


def against_baseline(record: ExamRecord, entry: str) -> str:
    """HTML: whether an entry passes, and every quantity of it against the baseline's, with interval and kind."""
    found = verdict_of(record, entry)
    rows = [
        (
            *comparison_cells(line),
            {True: "met", False: "not met", None: "higher" if line.costlier else ""}[line.met],
        )
        for line in found.lines
    ]
    errors = escape("".join(f"; {error}" for error in found.errors))
    state = f"<p><b>{escape(entry)}: {'passed' if found.passed else 'not passed'}{errors}.</b></p>"
    return state + html_table(("quantity", "kind", "baseline", "entry", "change (95 %)", "verdict"), rows)


def _offer(control: Dropdown, options: Iterable[tuple[str, Any]]) -> None:
    """Give a control these options; what was chosen before stays chosen where it is one of them."""
    before, given = control.value, list(options)
    control.options = given
    values = [value for _, value in given]
    control.value = before if before in values else values[0]
