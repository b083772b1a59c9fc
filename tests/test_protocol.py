"""The wire's types: parsing, the published schema, and a document that names all of it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from engine.weights import Model
from server import health, info, live, metrics, neurons, sources, tickets, upload, watch
from server.commands import CLIENT, ClientMessage, Message, Start, UnknownType, parse
from server.errors import HANDLING, Close, Code, Handling, Refusal
from server.protocol import Level, ServerMessage, dumped, level_json, schema
from server.settings import Settings
from server.ulid import ulid
from tests.live_server import LiveServer
from tests.synth import low_high, pcm16

DOCS = Path(__file__).resolve().parents[1] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
SERVER_TYPES = {message.model_fields["type"].default for message in get_args(ServerMessage)}


def test_a_minimal_start_has_the_documented_defaults() -> None:
    start = parse('{"type":"start","audio":{"encoding":"pcm_s16le","sample_rate":48000}}')
    assert isinstance(start, Start)
    shown = re.search(r'```json\n(\{"type": "start".+?)```', PROTOCOL, re.S)
    assert shown
    assert parse(shown[1]) == start


def test_a_type_that_is_not_known_is_told_from_a_bad_message() -> None:
    with pytest.raises(UnknownType, match="'dance' is not one of start"):
        parse('{"type":"dance"}')
    with pytest.raises(Refusal, match='"type"'):
        parse('{"kind":"start"}')


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(Refusal) as refusal:
        parse("x" * 10_000)
    assert len(refusal.value.message) < 300


def test_the_schema_of_every_message_is_published(server: LiveServer) -> None:
    published = httpx.get(f"{server.url}/v1/schema").json()
    assert published == schema()

    def types(side: str) -> set[str]:
        definitions = published[side]["$defs"].values()
        return {d["properties"]["type"]["const"] for d in definitions if "type" in d.get("properties", {})}

    assert types("client") == set(CLIENT)
    assert types("server") == SERVER_TYPES
    event = published["server"]["$defs"]["Event"]
    assert {"schema", "session", "seq", "event_id", "utc_onset"} <= set(event["required"])


def test_every_client_message_can_be_parsed_by_its_type() -> None:
    assert set(CLIENT.values()) == set(get_args(ClientMessage))
    for name, model in CLIENT.items():
        assert get_args(model.model_fields["type"].annotation) == (name,)


def test_an_event_id_is_a_ulid_that_sorts_by_time() -> None:
    ids = [ulid(1_700_000_000 + second) for second in range(5)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", name) for name in ids)
    assert ids[0].startswith("01HF7YAT00")  # 1 700 000 000 000 ms in Crockford's base 32
    assert len({ulid(0) for _ in range(1_000)}) == 1_000


def documented(name: str, text: str = PROTOCOL) -> bool:
    return re.search(rf"`{re.escape(name)}`|\*\*`{re.escape(name)}`\*\*", text) is not None


MODULES = (health, info, live, metrics, neurons, sources, tickets, upload, watch)


def test_every_route_is_documented() -> None:
    routes: list[Any] = [r for module in MODULES for r in module.router.routes]
    assert len(routes) >= 10
    for route in routes:
        methods = route.methods - {"HEAD"} if isinstance(route, APIRoute) else {"WS"}
        assert isinstance(route, APIRoute | APIWebSocketRoute)
        for method in methods:
            assert f"`{method} {route.path}`" in PROTOCOL, f"{method} {route.path}"


def test_every_message_type_is_documented() -> None:
    for name in set(CLIENT) | SERVER_TYPES | {"frame"}:
        assert f"**`{name}`**" in PROTOCOL, name


def test_every_field_that_a_client_or_a_server_sends_is_documented() -> None:
    def names(model: type[Message]) -> set[str]:
        return {field.serialization_alias or name for name, field in model.model_fields.items()}

    for message in (*CLIENT.values(), *get_args(ServerMessage)):
        for name in names(message):
            assert re.search(rf"\b{name}\b", PROTOCOL), f"{message.__name__}.{name}"


def test_every_error_code_is_documented_with_its_close_code_and_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", PROTOCOL, re.M))
    for code in Code:
        assert code in rows, code
        close, http, *_ = (cell.strip() for cell in rows[code].split("|"))
        handling = HANDLING.get(code, Handling())
        assert close in ("", str(int(handling.close))), code
        assert http in ("", str(handling.http)), code


def test_every_close_code_is_documented() -> None:
    for close in Close:
        assert re.search(rf"^\| {int(close)} \| ", PROTOCOL, re.M), close


def test_every_setting_is_documented() -> None:
    everything = "".join(path.read_text() for path in DOCS.glob("*.md"))
    for name in Settings.model_fields:
        assert f"`SPICCATO_{name.upper()}`" in everything, name


def test_every_label_of_the_model_is_told_before_anything_is_sent(server: LiveServer, toy: Model) -> None:
    assert tuple(httpx.get(f"{server.url}/v1/info").json()["model"]["labels"]) == toy.labels


def test_the_program_in_the_document_runs(server: LiveServer, tmp_path: Path) -> None:
    program = re.search(r"```python\n(.+?)```", PROTOCOL, re.S)
    assert program
    (tmp_path / "sound.pcm").write_bytes(pcm16(np.repeat(low_high(48_000), 2)))
    code = program[1].replace("ws://127.0.0.1:8000", server.ws)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = [line.split()[:2] for line in run.stdout.splitlines()]
    assert said == [["low", "onset"], ["low", "offset"], ["high", "onset"], ["high", "offset"]]


def test_a_request_that_does_not_fit_is_answered_in_the_same_form(server: LiveServer) -> None:
    answer = httpx.post(f"{server.url}/v1/sources", json={"kind": "radio"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["retryable"]) == ("bad_message", False)
    assert error["message"] == "body is {'kind': 'radio'}: its kind is none of microphone, stream, file"


LOUD = st.none() | st.floats(-200.0, 60.0).map(lambda db: round(db, 2))


@given(st.integers(0, 2**40), st.integers(0, 2**50), LOUD, LOUD, st.integers(0, 2**30))
def test_a_level_written_by_hand_is_the_one_of_the_schema(
    seq: int, sample: int, rms: float | None, peak: float | None, clipped: int
) -> None:
    whole = Level(session="s_0", seq=seq, sample=sample, rms_dbfs=rms, peak_dbfs=peak, clipped=clipped)
    assert level_json("s_0", seq, sample, rms, peak, clipped) == to_json(dumped(whole)).decode()
