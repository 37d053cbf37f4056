"""What learns: a model and the way it is trained. Models import neither problems nor meters."""
