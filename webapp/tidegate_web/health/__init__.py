"""Health: whether this process can answer (probes), and how what it depends on is (people)."""
