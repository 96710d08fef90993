"""Alembic's environment and the revisions that make the tables."""
