"""Long-lived processes on this machine, so that imports and parents are paid for once a run."""
