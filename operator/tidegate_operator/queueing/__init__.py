"""Which waiting run starts next: mutable state of the queues, without I/O and without a clock."""
