"""Quarantine: what a retry needs to read a record again, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine_retry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("accept_clock", sa.Boolean(), nullable=False),
        sa.Column("tried", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine_retry")),
    )
    with op.batch_alter_table("ingestion_run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("as_if_live_lag_s", sa.Double(), nullable=True))

    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(), nullable=True))
        # rows of before: the payload says by its end whether it was cut
        batch_op.add_column(sa.Column("whole", sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.add_column(sa.Column("layout", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("retry_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("outcome", sa.String(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_quarantine_retry_id_quarantine_retry"), "quarantine_retry", ["retry_id"], ["id"]
        )
        batch_op.create_index(batch_op.f("ix_quarantine_source"), ["source"], unique=False)
        batch_op.create_index(batch_op.f("ix_quarantine_retry_id"), ["retry_id"], unique=False)
    op.execute(
        sa.text("UPDATE quarantine SET whole = :no WHERE payload LIKE :cut").bindparams(no=False, cut="%… (cut)")
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.alter_column("whole", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_retry_id"))
        batch_op.drop_index(batch_op.f("ix_quarantine_source"))
        batch_op.drop_constraint(batch_op.f("fk_quarantine_retry_id_quarantine_retry"), type_="foreignkey")
        for name in ("outcome", "retry_id", "layout", "whole", "kind"):
            batch_op.drop_column(name)

    with op.batch_alter_table("ingestion_run", schema=None) as batch_op:
        batch_op.drop_column("as_if_live_lag_s")

    op.drop_table("quarantine_retry")
