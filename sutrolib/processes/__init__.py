"""ORANGE axis: how an algorithm is found, for a given metric and problem."""
