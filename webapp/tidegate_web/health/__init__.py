"""Health: whether this process can answer (probes), and how its neighbours are (people)."""
