"""Models of text: nanoGPT, n-grams, their combinations, and the optimizer."""
