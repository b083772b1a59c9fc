"""alembic's entry: takes the steps over the connection that `server.past.database` hands in, in its transaction."""

from alembic import context

from server.past.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
