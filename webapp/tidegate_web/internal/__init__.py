"""What the pods of runs may call: ``/internal/v1``, each with the token of its own run and for that run alone."""
