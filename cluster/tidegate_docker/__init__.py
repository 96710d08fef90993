"""A Docker engine of our own, and a node image for kind, for hosts that have neither: what tests of the Docker road run on."""
