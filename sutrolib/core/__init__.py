"""What every other wing builds on: types, the cube, paths, files, statistics, provenance."""
