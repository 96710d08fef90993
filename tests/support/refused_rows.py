"""Rows that Postgres refuses, while the mirror writes.

The rule is a trigger's function. It ends by replacing the function, which locks no table: dropping the trigger locks a
table and its partitions, in another order than the statements that run at the time, and Postgres ends one of the two.
"""

from sqlalchemy import Engine, text

RULE = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF {when} THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'data_exception'; END IF;
  RETURN NEW;
END $$
"""


def refuse_rows(engine: Engine, table: str, *, when: str) -> None:
    """From now on, a row of `table` for which `when` holds is refused. Call it before something writes there."""
    with engine.begin() as connection:
        connection.execute(text(RULE.format(when=when)))
        connection.execute(
            text(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
        )


def accept_rows(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(RULE.format(when="FALSE")))
