"""Live updates: what is published in Redis, and the streams that bring it to people."""
