"""Interactive panels for JupyterLab. Each notebook shows a static figure beside its panel, for runs without a user."""

from sutrolib.notebook.widgets.by_hand import manual_search_panel as manual_search_panel
from sutrolib.notebook.widgets.by_hand import touch_test_panel as touch_test_panel
from sutrolib.notebook.widgets.explorers import cube_explorer as cube_explorer
from sutrolib.notebook.widgets.explorers import in_bytes as in_bytes
from sutrolib.notebook.widgets.explorers import pareto_panel as pareto_panel
from sutrolib.notebook.widgets.explorers import reuse_panel as reuse_panel
from sutrolib.notebook.widgets.meeting import meeting_panel as meeting_panel
from sutrolib.notebook.widgets.search import search_panel as search_panel
from sutrolib.notebook.widgets.single_run import run_panel as run_panel
