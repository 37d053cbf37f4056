"""The touch test: which of two algorithms leaves the device warmer."""
