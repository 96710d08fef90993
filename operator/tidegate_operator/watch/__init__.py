"""What is observed: watches and lists, handed to `state.cache`, and the CRDs that they need."""
