"""How processes serve: gunicorn, logs, metrics of requests."""
