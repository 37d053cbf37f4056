"""The final exam: entries, runs, record, verdict, plots."""
