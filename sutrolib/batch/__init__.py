"""Many notebook runs: plan, execute, spread over workers, record, tabulate, compare."""
