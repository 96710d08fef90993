"""The objects that the operator creates: pure builders of Jobs and their pods."""
