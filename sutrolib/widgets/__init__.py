"""Live controls for JupyterLab. Each has a static figure beside it in its notebook, for whoever reads it headless."""

from sutrolib.widgets.cube import cube_explorer
from sutrolib.widgets.frame import PANEL
from sutrolib.widgets.hand import hand_panel
from sutrolib.widgets.heat import reading_panel

__all__ = ["PANEL", "cube_explorer", "hand_panel", "reading_panel"]
