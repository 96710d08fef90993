"""What the operator knows: the cache is the one door through which records change."""
