"""WS /v1/stream on the real server: what a client sees of a session."""


from tests.live_server import LiveServer, bare, stream
from tests.synth import low_high, pcm16


def test_a_session_tells_low_then_high_and_ends_with_a_summary(server: LiveServer) -> None:
    messages = stream(server, pcm16(low_high()))
    assert [(e["label"], e["phase"]) for e in bare(messages)] == [
        ("low", "onset"),
        ("low", "offset"),
        ("high", "onset"),
        ("high", "offset"),
    ]
    assert messages[-1]["type"] == "summary"
    assert messages[-1]["audio_ms"] == 3500
    assert [label["label"] for label in messages[-1]["labels"]] == ["low", "high"]
