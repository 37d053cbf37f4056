"""What a run reads and writes: access trace, reuse distances, operations, cache energy."""
