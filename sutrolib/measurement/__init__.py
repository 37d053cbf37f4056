"""One run: its passes, its ledger entry, comparison of two, coverage of the cube."""
