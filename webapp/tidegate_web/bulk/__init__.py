"""Acts over many runs, carried out in the background."""
