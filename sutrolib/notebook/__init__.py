"""What a notebook uses: its session, progress display and panels."""

from sutrolib.notebook.session import show_markdown as show_markdown
from sutrolib.notebook.session import start as start
