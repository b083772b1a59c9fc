"""The benchmark of live sessions beside hostile uploads, at its smallest."""

import asyncio

from client.load import Plan
from tests.bench_hostile import beside
from tests.live_server import LiveServer


def test_sessions_lose_nothing_and_every_answer_is_counted(server: LiveServer) -> None:
    files = [("empty", b""), ("noise", bytes(1_000))]
    figures, answers = asyncio.run(beside(Plan(server.url, 2, 0.4, warm_s=0.2), files))
    assert (figures["lost_frames"], figures["failed"]) == (0, 0)
    assert set(answers) == {415, 422}
