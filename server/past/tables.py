"""The tables of the history, and the revision of their form. Knows names and types; nothing of how they are reached.

Moments are milliseconds since 1970 in UTC, beside the minutes by which the server's own zone was ahead then. Samples
count on the session's clock. An event names its session, source and model itself, so that it stands without other rows.
"""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, SmallInteger, String, Table, Text

REVISION = "0001"  # that `migrations/versions` leads to

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what is called INTEGER

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("session", String(64), primary_key=True),
    Column("source", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # of the source: microphone, browser, network
    Column("model", String(128), nullable=False),
    Column("sample_rate", Integer, nullable=False),
    Column("started_utc", BigInteger, nullable=False),
    Column("zone_min", SmallInteger, nullable=False),
    Column("ended_utc", BigInteger),  # null: it goes on, or the server was killed
    Column("summary", Text),  # JSON, from its end on
    Index("sessions_by_time", "started_utc"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("session", String(64), nullable=False),
    Column("from_sample", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("place", String(16), nullable=False),  # client, network, queue
    Column("reason", String(64), nullable=False),
    Index("gaps_by_session", "session"),
)

events = Table(
    "events",
    metadata,
    Column("event_id", String(26), primary_key=True),
    Column("session", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("label", String(128), nullable=False),
    Column("family", String(128), nullable=False),
    Column("phase", String(16), nullable=False),  # how it ended: offset, retract
    Column("reason", String(32)),
    Column("score", Float, nullable=False),
    Column("peak", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("sample_rate", Integer, nullable=False),
    Column("onset_sample", BigInteger, nullable=False),
    Column("offset_sample", BigInteger, nullable=False),
    Column("decided_sample", BigInteger, nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("latency_ms", Float),
    Column("onset_utc", BigInteger, nullable=False),
    Column("zone_min", SmallInteger, nullable=False),
    Column("model", String(128), nullable=False),
    Index("events_by_time", "onset_utc", "event_id"),
    Index("events_by_label", "label", "onset_utc"),
    Index("events_by_source", "source", "onset_utc"),
    Index("events_by_session", "session", "onset_sample"),
)

clips = Table(  # files; a row is written once the file is there
    "clips",
    metadata,
    Column("event_id", String(26), primary_key=True),
    Column("first_sample", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("onset_utc", BigInteger, nullable=False),
    Index("clips_by_time", "onset_utc", "event_id"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", String(26), nullable=False),
    Column("label", String(128)),  # what it was; null: nothing that has a name here
    Column("note", Text, nullable=False),
    Column("at_utc", BigInteger, nullable=False),
    Index("corrections_by_event", "event_id", "id"),
)
