"""Alembic environment of the operations database; run in-process by ``parked.opsdb.migrate``."""
