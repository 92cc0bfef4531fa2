"""Alembic's way in: it runs on the connection that migrating.py holds."""

from alembic import context

from gateway.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
