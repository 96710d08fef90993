"""The questions asked of Postgres, one module for each thing that is asked about."""
