"""The HTTP API: ``/api/v1``, for people and pipelines."""
