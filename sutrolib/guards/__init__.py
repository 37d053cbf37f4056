"""The four mistakes as checks on what processes and runs have done."""
