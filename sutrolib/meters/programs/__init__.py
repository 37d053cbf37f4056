"""Data movement of plain Python programs: ByteDMD, grid cost, write stack."""
