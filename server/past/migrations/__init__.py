"""How the tables of the history came to be as they are, one step a file; run by alembic when the service starts."""
