"""The HTTP API: ``/api/v1`` for people and pipelines, ``/internal/v1`` for the pods of runs."""
