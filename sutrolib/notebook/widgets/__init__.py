"""Live controls for JupyterLab. Each has a static figure beside it in its notebook, for whoever reads it headless."""

from sutrolib.notebook.widgets.cube import cube_explorer
from sutrolib.notebook.widgets.layout import PANEL
from sutrolib.notebook.widgets.manual_search import hand_panel
from sutrolib.notebook.widgets.meeting import meeting_panel
from sutrolib.notebook.widgets.pareto import frontier_panel
from sutrolib.notebook.widgets.reuse_histogram import Program, reuse_panel
from sutrolib.notebook.widgets.search import search_panel
from sutrolib.notebook.widgets.single_run import run_panel
from sutrolib.notebook.widgets.touch_test import reading_panel, run_until

__all__ = [
    "PANEL",
    "Program",
    "cube_explorer",
    "frontier_panel",
    "hand_panel",
    "meeting_panel",
    "reading_panel",
    "reuse_panel",
    "run_panel",
    "run_until",
    "search_panel",
]
