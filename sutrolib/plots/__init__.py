"""House style, and the figures that several notebooks share."""
