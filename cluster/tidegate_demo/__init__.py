"""`make demo`: real runs on a real cluster, in a browser and in kubectl."""
