"""BLUE axis: what is learned. Problems hand out data and import nothing of the other wings."""
