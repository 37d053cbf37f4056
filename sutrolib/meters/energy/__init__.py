"""Joules and seconds: power counters, CodeCarbon, wall time."""
