"""Live events: the channels in Redis and the hub that hands them to streams."""
