"""The Pareto front of a final exam: a cost against a score, read from its record."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sutrolib.exam.entries import CLOSED, OPEN, SCALES
from sutrolib.exam.plots import SCORES, cost_labels, draw_pareto_front
from sutrolib.exam.record import ExamRecord, read_record
from sutrolib.exam.store import exam_path
from sutrolib.exam.table import comparison_cells
from sutrolib.exam.verdict import verdict_of
from sutrolib.notebook.widgets.layout import dropdown, hbox, html_table, image, panel, status

if TYPE_CHECKING:
    from ipywidgets import Dropdown, VBox

_NO_RECORD = "There is no record of an exam yet. To run one: python -m sutrolib exam --division closed --scale smoke"


def pareto_panel() -> VBox:
    """Choose an exam, a cost, a score and an entry; shows the Pareto front, and the entry against the baseline.

    It reads the stored records; nothing is trained.
    """
    import ipywidgets as widgets

    exams = [(scale, d) for scale in reversed(SCALES) for d in (OPEN, CLOSED) if exam_path(scale, d).exists()]
    if not exams:
        return panel([widgets.HTML(status(_NO_RECORD))])
    exam = dropdown("exam", [(f"{division} division, scale {scale}", (scale, division)) for scale, division in exams])
    cost, score = dropdown("cost", []), dropdown("score", [(label, name) for name, label in SCORES.items()])
    entry = dropdown("entry", [])
    picture, text = widgets.HTML(), widgets.HTML()
    shown: ExamRecord | None = None  # None while the controls are not all of one exam

    def redraw(_change: object = None) -> None:
        if shown is not None:
            figure = draw_pareto_front(shown, cost.value, score.value, entry.value)
            what = f"{score.label} against {cost.label}, {exam.label}, {entry.value} circled"
            picture.value = image(figure, f"{what}. {figure.axes[0].get_title('left')}")
            text.value = _against_baseline(shown, entry.value)

    def on_exam(_change: object = None) -> None:
        nonlocal shown
        shown = None
        picture.value = text.value = ""
        try:
            record = read_record(exam_path(*exam.value))
        except (OSError, ValueError) as error:
            text.value = status(str(error))
            return
        if not (costs := cost_labels(record)):
            text.value = status("This exam has no runs yet.")
            return
        _set_options(cost, [(label, name) for name, label in costs.items()])
        _set_options(entry, [(name, name) for name in record.entries])
        shown = record
        redraw()

    exam.observe(on_exam, names="value")
    for control in (cost, score, entry):
        control.observe(redraw, names="value")
    on_exam()
    return panel([exam, cost, score, entry, hbox(picture, text)])


def _against_baseline(record: ExamRecord, entry: str) -> str:
    """HTML: whether an entry passed, and its quantities against those of the baseline."""
    found = verdict_of(record, entry)
    met = {True: "met", False: "not met", None: ""}
    rows = [(*comparison_cells(line), met[line.met] or ("higher" if line.costlier else "")) for line in found.lines]
    errors = escape("".join(f"; {error}" for error in found.errors))
    state = f"<p><b>{escape(entry)}: {'passed' if found.passed else 'not passed'}{errors}.</b></p>"
    return state + html_table(("quantity", "kind", "baseline", "entry", "change (95 %)", "verdict"), rows)


def _set_options(control: Dropdown, options: Sequence[tuple[str, str]]) -> None:
    """Give a control these options, and keep its value if it is one of them."""
    before = control.value
    control.options = options
    values = [value for _, value in options]
    control.value = before if before in values else values[0]
