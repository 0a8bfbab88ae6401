"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingestion_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.Column("ignored", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("as_if_live", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingestion_run")),
    )
    with op.batch_alter_table("ingestion_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ingestion_run_sha256"), ["sha256"], unique=False)

    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_label_idempotency_key")),
    )
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_label_device_id_at"), ["device_id", "at"], unique=False)

    op.create_table(
        "label_coverage",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_coverage")),
        sa.UniqueConstraint(
            "device_id", "source", "from_at", "to_at", name=op.f("uq_label_coverage_device_id_source_from_at_to_at")
        ),
    )
    op.create_table(
        "model_version",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("manifest_sha256", sa.String(), nullable=False),
        sa.Column("rules_version", sa.String(), nullable=False),
        sa.Column("feature_service", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tag", name=op.f("pk_model_version")),
    )
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_version_state"), ["state"], unique=False)

    op.create_table(
        "monitor_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("window_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("model_tag", sa.String(), nullable=False),
        sa.Column("report_html", sa.String(), nullable=True),
        sa.Column("report_json", sa.String(), nullable=True),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_run")),
    )
    op.create_table(
        "model_state_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tag"], ["model_version.tag"], name=op.f("fk_model_state_change_tag_model_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_state_change")),
    )
    with op.batch_alter_table("model_state_change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_state_change_tag"), ["tag"], unique=False)

    op.create_table(
        "publish",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("previous_tag", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tag"], ["model_version.tag"], name=op.f("fk_publish_tag_model_version")),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_publish")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_offset", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["ingestion_run.id"], name=op.f("fk_quarantine_run_id_ingestion_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quarantine_reason"), ["reason"], unique=False)
        batch_op.create_index(batch_op.f("ix_quarantine_run_id"), ["run_id"], unique=False)

    op.create_table(
        "raw_segment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("min_event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_event_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["ingestion_run.id"], name=op.f("fk_raw_segment_run_id_ingestion_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_raw_segment")),
        sa.UniqueConstraint("path", name=op.f("uq_raw_segment_path")),
    )
    with op.batch_alter_table("raw_segment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_raw_segment_run_id"), ["run_id"], unique=False)

    op.create_table(
        "trigger_decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("monitor_run_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("triggers", sa.JSON(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("challenger_tag", sa.String(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_run_id"], ["monitor_run.id"], name=op.f("fk_trigger_decision_monitor_run_id_monitor_run")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trigger_decision")),
    )
    with op.batch_alter_table("trigger_decision", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trigger_decision_monitor_run_id"), ["monitor_run_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("trigger_decision", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_trigger_decision_monitor_run_id"))

    op.drop_table("trigger_decision")
    with op.batch_alter_table("raw_segment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_raw_segment_run_id"))

    op.drop_table("raw_segment")
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_run_id"))
        batch_op.drop_index(batch_op.f("ix_quarantine_reason"))

    op.drop_table("quarantine")
    op.drop_table("publish")
    with op.batch_alter_table("model_state_change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_state_change_tag"))

    op.drop_table("model_state_change")
    op.drop_table("monitor_run")
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_version_state"))

    op.drop_table("model_version")
    op.drop_table("label_coverage")
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_label_device_id_at"))

    op.drop_table("label")
    with op.batch_alter_table("ingestion_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ingestion_run_sha256"))

    op.drop_table("ingestion_run")
