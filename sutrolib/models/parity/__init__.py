"""Models of sparse parity: networks, linear algebra, search, statistics."""
