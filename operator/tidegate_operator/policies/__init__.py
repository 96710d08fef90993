"""What to do, decided without I/O and without a clock: pure functions of records and `now`. One policy a file."""
