"""Events, sessions, gaps, clips and corrections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("session", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("sample_rate", sa.Integer, nullable=False),
        sa.Column("started_utc", sa.BigInteger, nullable=False),
        sa.Column("zone_min", sa.SmallInteger, nullable=False),
        sa.Column("ended_utc", sa.BigInteger),
        sa.Column("summary", sa.Text),
    )
    op.create_index("sessions_by_time", "sessions", ["started_utc"])
    op.create_table(
        "gaps",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("session", sa.String(64), nullable=False),
        sa.Column("from_sample", sa.BigInteger, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("place", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
    )
    op.create_index("gaps_by_session", "gaps", ["session"])
    op.create_table(
        "events",
        sa.Column("event_id", sa.String(26), primary_key=True),
        sa.Column("session", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("family", sa.String(128), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("peak", sa.Float, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("sample_rate", sa.Integer, nullable=False),
        sa.Column("onset_sample", sa.BigInteger, nullable=False),
        sa.Column("offset_sample", sa.BigInteger, nullable=False),
        sa.Column("decided_sample", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.Float, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("onset_utc", sa.BigInteger, nullable=False),
        sa.Column("zone_min", sa.SmallInteger, nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
    )
    op.create_index("events_by_time", "events", ["onset_utc", "event_id"])
    op.create_index("events_by_label", "events", ["label", "onset_utc"])
    op.create_index("events_by_source", "events", ["source", "onset_utc"])
    op.create_index("events_by_session", "events", ["session", "onset_sample"])
    op.create_table(
        "clips",
        sa.Column("event_id", sa.String(26), primary_key=True),
        sa.Column("first_sample", sa.BigInteger, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("onset_utc", sa.BigInteger, nullable=False),
    )
    op.create_index("clips_by_time", "clips", ["onset_utc", "event_id"])
    op.create_table(
        "corrections",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(26), nullable=False),
        sa.Column("label", sa.String(128)),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at_utc", sa.BigInteger, nullable=False),
    )
    op.create_index("corrections_by_event", "corrections", ["event_id", "id"])


def downgrade() -> None:
    for table in ("corrections", "clips", "events", "gaps", "sessions"):
        op.drop_table(table)
