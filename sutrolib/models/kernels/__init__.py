"""Matrix products and attention, as programs to measure."""
