"""What `python -m tests.bench_engine` measures, one thing a file. Nothing here passes or fails."""
