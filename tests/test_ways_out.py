"""The whole way: sound into the running service, from its settings to what the ways out have told."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.config import load
from server.fits import Unfit
from tests.live_server import bare, eventually, live_server, stream
from tests.synth import low_high, pcm16
from tests.test_outputs import Receiver, osc_listener, receiver

__all__ = ["receiver"]


def test_a_live_session_reaches_the_outputs_as_its_client_saw_it(
    toy_path: Path, receiver: Receiver, tmp_path: Path
) -> None:
    with osc_listener() as (port, heard):
        file = tmp_path / "spiccato.toml"
        file.write_text(f"""
model = "{toy_path}"
[[outputs]]
kind = "webhook"
url = "{receiver.url}"
[[outputs]]
name = "light"
kind = "osc"
port = {port}
rule = {{labels = ["high"], sources = ["sta?e"]}}
[[outputs]]
name = "away"
kind = "mqtt"
host = "127.0.0.1"
port = 9
""")
        settings = load(file).settings
        with live_server(model=settings.model, outputs=settings.outputs) as server:
            told = stream(server, pcm16(low_high()), source={"name": "stage", "kind": "network"})
            events = [message for message in told if message["type"] == "event"]
            posted = [json.loads(receiver.got.get(timeout=60)[1]) for _ in events]
            assert posted == events
            assert len(bare(posted)) == 4
            osc: list[Any] = [heard.get(timeout=60) for _ in range(2)]
            assert [(address, on) for address, on, _ in osc] == [
                ("/spiccato/stage/high", 1),
                ("/spiccato/stage/high", 0),
            ]
            expected = {"webhook": "ok", "light": "ok", "away": "retrying"}
            eventually(lambda: {name: one["state"] for name, one in listed(server.url).items()} == expected)
            assert listed(server.url)["away"]["waiting"] == 4
            eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
            checks = httpx.get(f"{server.url}/readyz").json()["checks"]
            reason = next(check["reason"] for check in checks if check["name"] == "outputs")
            assert reason.startswith("away: retrying: 127.0.0.1:9: ")
            eventually(
                lambda: 'spiccato_output_messages_total{outcome="sent",output="webhook"} 4.0' in metrics(server.url)
            )
            assert 'spiccato_output_up{output="away"} 0.0' in metrics(server.url)


def listed(url: str) -> dict[str, Any]:
    return {one["name"]: one for one in httpx.get(f"{url}/v1/outputs").json()["outputs"]}


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics").text


def test_a_service_with_outputs_that_do_not_fit_does_not_start(toy_path: Path) -> None:
    outputs = [{"kind": "osc", "port": 9, "rule": {"labels": ["horn"]}}]
    with pytest.raises(Unfit, match="'horn' is none of"), live_server(model=toy_path, outputs=outputs):
        pass
