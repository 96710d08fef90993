"""What is kept in Postgres: the tables, the questions asked of them, and the migrations that make them."""
