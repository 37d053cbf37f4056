"""The names of the public module ``bytedmd``: its scripts run with ``from sutrolib.bytedmd import bytedmd``."""

from sutrolib.meters.programs.bytedmd import bytedmd, format_ir, inspect_ir, trace_to_bytedmd, traced_eval

__all__ = ["bytedmd", "format_ir", "inspect_ir", "trace_to_bytedmd", "traced_eval"]
