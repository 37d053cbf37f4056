"""The deck of the weekly meeting."""
