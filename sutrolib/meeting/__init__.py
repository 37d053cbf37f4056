"""The slides of the weekly meeting."""
