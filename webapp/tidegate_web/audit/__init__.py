"""The audit log: what was done, by whom, and its rows while Postgres is away."""
