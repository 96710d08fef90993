"""Tasks, Queues and Schedules: what may be done to them, and by whom."""
