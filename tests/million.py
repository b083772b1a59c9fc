"""On paper: what so many live streams need, from what one core, one bus and one database were measured to hold.

    python -m tests.million [--streams 1000000] [--cpu-ms 1.3] ...

Each figure that goes in is an option; what is measured names its command. Writes a table in Markdown.
"""

import argparse

GIVEN = (  # name, value, what it is
    ("streams", 1_000_000, "at once"),
    ("cpu-ms", 1.3, "CPU ms for a second of a stream, chunks of 20 ms (make bench-service, 500 sessions)"),
    ("engine-ms", 0.25, "of these the engine's (make bench)"),
    ("busy", 0.6, "share of a core that is used: peaks, lost nodes and drains need the rest"),
    ("cores", 32, "of a node"),
    ("process-mb", 260, "memory of a process without sessions (make bench-service)"),
    ("session-mb", 0.21, "memory of a session (make bench-service)"),
    ("rate", 16_000, "samples a second, of two bytes"),
    ("chunk-ms", 20, "of sound in a message"),
    ("head", 66, "bytes of a message that are Ethernet, IP, TCP and WebSocket"),
    ("level-hz", 10, "level messages a second of a stream, the default"),
    ("level", 152, "bytes of one"),
    ("event-hz", 0.25, "finished events a second of a stream: one each four seconds"),
    ("bus-rate", 14_000, "messages a second that went through one Redis (python -m tests.bench_bus)"),
    ("bus-bytes", 415, "memory of one there (python -m tests.bench_kept)"),
    ("table-rate", 3_000, "events a second that one PostgreSQL took from one writer (the same)"),
    ("table-bytes", 408, "of one there, indexes included (the same)"),
    (
        "save-bytes",
        21_000,
        "of a session saved for failover, each second (python -m tests.bench_failover --cost)",
    ),
    ("save-us", 139, "CPU us of Redis for one (the same)"),
    ("minutes", 10, "mean length of a session"),
    ("core-price", 0.03, "$ an hour of a core: an assumption"),
    ("egress-price", 0.05, "$ a GB out: an assumption"),
)
MONTH_H = 730


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value, what in GIVEN:
        parser.add_argument(f"--{name}", type=float, default=value, help=f"{what} [{value}]")
    for what, need in needs(parser.parse_args()):
        print(f"| {what} | {need} |")


def needs(g: argparse.Namespace) -> list[tuple[str, str]]:
    cores = g.streams * g.cpu_ms / 1000 / g.busy
    nodes = cores / g.cores
    memory_gb = (g.streams * g.session_mb + cores * g.process_mb) / 1000
    chunk_bytes = g.rate * 2 * g.chunk_ms / 1000
    packets = g.streams * 1000 / g.chunk_ms
    in_gbit = packets * (chunk_bytes + g.head) * 8 / 1e9
    out_gbit = g.streams * g.level_hz * (g.level + g.head) * 8 / 1e9
    messages = 2 * g.streams * g.event_hz  # onset and offset
    rows = g.streams * g.event_hz
    out_gb_month = out_gbit / 8 * 3600 * MONTH_H
    return [
        ("cores, one process each", f"{cores:,.0f} ({100 * g.engine_ms / g.cpu_ms:.0f} % of the work is the engine's)"),
        (f"nodes of {g.cores:.0f} cores", f"{nodes:,.0f}, {g.streams / nodes:,.0f} streams on each"),
        ("memory", f"{memory_gb:,.0f} GB, {memory_gb / nodes:.0f} GB a node"),
        (
            "sound in",
            f"{in_gbit:,.0f} Gbit/s, {packets / 1e6:,.0f} M packets a second; a node {in_gbit / nodes:.1f} Gbit/s",
        ),
        ("telemetry out", f"{out_gbit:,.1f} Gbit/s"),
        (
            "new connections",
            f"{g.streams / g.minutes / 60:,.0f} a second, and a lost node's {g.streams / nodes:,.0f} at once",
        ),
        ("bus", f"{messages:,.0f} messages a second: {messages / g.bus_rate:,.0f} partitions"),
        ("an hour to be told again", f"{messages * g.bus_bytes * 3600 / 1e9:,.0f} GB of the bus' memory"),
        (
            "saved for failover, where asked for",
            f"{g.streams * g.save_bytes * 8 / 1e9:,.0f} Gbit/s to {g.streams * g.save_us / 1e6 / g.busy:,.0f} Redis",
        ),
        ("history", f"{rows:,.0f} rows a second: {rows / g.table_rate:,.0f} databases of one writer each"),
        ("a day of it", f"{rows * g.table_bytes * 86_400 / 1e12:,.1f} TB"),
        ("a month of cores", f"{cores * g.core_price * MONTH_H:,.0f} $"),
        ("a month of telemetry out", f"{out_gb_month * g.egress_price:,.0f} $"),
    ]


if __name__ == "__main__":
    main()
