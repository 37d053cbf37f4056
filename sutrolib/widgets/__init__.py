"""Live controls for JupyterLab. Each has a static figure beside it in its notebook, for whoever reads it headless."""

from sutrolib.widgets.cube import cube_explorer
from sutrolib.widgets.frame import PANEL
from sutrolib.widgets.frontier import frontier_panel
from sutrolib.widgets.hand import hand_panel
from sutrolib.widgets.heat import reading_panel, run_until
from sutrolib.widgets.meeting import meeting_panel
from sutrolib.widgets.reuse import Program, reuse_panel
from sutrolib.widgets.run import run_panel
from sutrolib.widgets.search import search_panel

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
