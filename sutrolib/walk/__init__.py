"""The walk from A to B: every step of the path, taken by the process of its position and kept as a record."""
