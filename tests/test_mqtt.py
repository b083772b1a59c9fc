"""MQTT against a real mosquitto: states, events, last will, TLS, passwords, a broker that goes away, Home Assistant."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from server.outputs import mqtt as mqtt_module
from server.outputs import runner as runner_module
from tests.live_server import eventually, live_server
from tests.ways import end, onset, output, running, state, until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Broker:
    """A mosquitto of this test's own, which keeps what is retained over a restart."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        text = "\n".join(
            (f"listener {self.port} 127.0.0.1", *lines, "persistence true", f"persistence_location {folder}/")
        )
        self._config = folder / "mosquitto.conf"
        self._config.write_text(text + "\nuser root\n")
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        eventually(lambda: self._answers() or self._process.poll() is not None)
        assert self._process.poll() is None, "mosquitto did not start"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


class Watcher:
    """What a subscriber of everything has been told: the newest of each topic, and all of it in order."""

    def __init__(self, port: int, **login: str) -> None:
        self.newest: dict[str, str] = {}
        self.all: list[tuple[str, str]] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_message = self._take
        self.subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _take(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self.all.append((message.topic, message.payload.decode()))
        self.newest[message.topic] = message.payload.decode()

    def publish(self, topic: str, text: str, *, retain: bool = False) -> None:
        self._client.publish(topic, text, 1, retain)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def broker(folder: Path, *lines: str) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("no mosquitto: apt-get install mosquitto")
    running_broker = Broker(folder, *lines)
    try:
        yield running_broker
    finally:
        running_broker.stop()


@contextmanager
def watching(port: int, **login: str) -> Iterator[Watcher]:
    watcher = Watcher(port, **login)
    try:
        yield watcher
    finally:
        watcher.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE_S", 0.05)


def test_states_are_retained_and_events_are_told(tmp_path: Path) -> None:
    async def scene(port: int) -> None:
        way = output(kind="mqtt", host="127.0.0.1", port=port, topic="hall/spiccato")
        with watching(port) as watcher:
            async with running(way) as (hub, ways):
                await until(lambda: ways.told()[0]["state"] == "ok")
                hub.publish("stage/1", state())
                first, second = onset(score=0.75), onset("high", id="e2")
                for message in (first, second, end(first)):
                    hub.tell("stage/1", message)
                await until(lambda: ways.told()[0]["sent"] == 4)
            await until(lambda: watcher.newest.get("hall/spiccato/status") == "offline")
        with watching(port) as late:  # is told what is retained
            await until(lambda: len(late.newest) == 6)
        base = "hall/spiccato/stage_1"
        assert {topic: text for topic, text in late.newest.items() if "attributes" not in topic} == {
            "hall/spiccato/status": "offline",
            f"{base}/status": "online",
            f"{base}/low": "OFF",
            f"{base}/high": "ON",
        }
        assert json.loads(late.newest[f"{base}/low/attributes"]) == {**end(first), "source": "stage/1"}
        told = [json.loads(text) for topic, text in watcher.all if topic == f"{base}/event"]
        assert told == [{**one, "source": "stage/1"} for one in (first, second, end(first))]
        assert [text for topic, text in watcher.all if topic == f"{base}/low"][-2:] == ["ON", "OFF"]
        assert [text for topic, text in watcher.all if topic == "hall/spiccato/status"] == ["online", "offline"]

    with broker(tmp_path, "allow_anonymous true") as one:
        asyncio.run(scene(one.port))


def test_the_broker_tells_when_the_service_is_lost(tmp_path: Path) -> None:
    code = """
import asyncio, os
from tests.ways import output, running, until
async def scene():
    async with running(output(kind="mqtt", host="127.0.0.1", port=PORT)) as (hub, ways):
        await until(lambda: ways.told()[0]["state"] == "ok")
        os._exit(1)  # as with kill -9
asyncio.run(scene())
"""
    with broker(tmp_path, "allow_anonymous true") as one, watching(one.port) as watcher:
        subprocess.run([sys.executable, "-c", code.replace("PORT", str(one.port))], check=False, timeout=60)
        eventually(lambda: watcher.newest.get("spiccato/status") == "offline")
        assert [text for topic, text in watcher.all if topic == "spiccato/status"] == ["online", "offline"]


def test_a_broker_that_goes_away_is_waited_for_and_then_told_what_is_now(tmp_path: Path) -> None:
    async def scene(one: Broker) -> None:
        way = output(kind="mqtt", host="127.0.0.1", port=one.port)
        async with running(way) as (hub, ways):
            first, second = onset(), onset("high", id="e2")
            hub.tell("stage", first)
            await until(lambda: ways.told()[0]["sent"] == 1)
            await asyncio.to_thread(one.stop)
            await until(lambda: ways.told()[0]["state"] == "retrying")
            for message in (end(first), second, end(second), third := onset("high", id="e3")):
                hub.tell("stage", message)
            assert ways.told()[0]["waiting"] == 4
            await asyncio.to_thread(one.start)
            with watching(one.port) as watcher:
                await until(lambda: ways.told()[0]["sent"] == 5)
                await until(lambda: len([t for t, _ in watcher.all if t == "spiccato/stage/event"]) >= 1)
                await until(lambda: watcher.newest.get("spiccato/stage/high") == "ON")
                assert watcher.newest["spiccato/stage/low"] == "OFF"
                # the state was never told as it had been meanwhile
                assert "OFF" not in [text for topic, text in watcher.all if topic == "spiccato/stage/high"]
                assert json.loads(watcher.newest["spiccato/stage/event"])["event_id"] == third["event_id"]

    with broker(tmp_path, "allow_anonymous true") as one:
        asyncio.run(scene(one))


def test_a_password_is_asked_for_and_may_come_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("no mosquitto_passwd: apt-get install mosquitto")
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), "ear", "s3cret"], check=True)
    (tmp_path / "password").write_text("s3cret\n")
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret")
    login: dict[str, Any] = {"kind": "mqtt", "host": "127.0.0.1", "user": "ear"}

    async def scene(port: int) -> None:
        ways_in = [{"env": "MQTT_PASSWORD"}, {"file": str(tmp_path / "password")}, "s3cret"]
        good = [output(**login, port=port, name=f"w{n}", password=password) for n, password in enumerate(ways_in)]
        wrong = output(**login, port=port, name="wrong", password="guess")
        async with running(*good, wrong) as (_, ways):
            await until(lambda: [told["state"] for told in ways.told()] == ["ok", "ok", "ok", "retrying"])
            assert ways.told()[-1]["detail"] == f"127.0.0.1:{port} refuses: not authorized"

    with broker(tmp_path, "allow_anonymous false", f"password_file {users}") as one:
        asyncio.run(scene(one.port))


def test_tls_believes_only_the_certificates_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "ANSWER_S", 1.0)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    for name in ("ours", "other"):
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run([*make, "-addext", "subjectAltName=DNS:localhost", *files], check=True, capture_output=True)

    async def scene(port: int) -> None:
        tls: dict[str, Any] = {"kind": "mqtt", "host": "localhost", "port": port, "tls": True}
        good = output(**tls, name="good", ca_file=str(tmp_path / "ours.pem"))
        bad = output(**tls, name="bad", ca_file=str(tmp_path / "other.pem"))
        plain = output(**{**tls, "tls": False}, name="plain")
        async with running(good, bad, plain) as (_, ways):
            await until(lambda: [told["state"] for told in ways.told()] == ["ok", "retrying", "retrying"])
            assert "certificate verify failed" in ways.told()[1]["detail"]

    files = [f"certfile {tmp_path}/ours.pem", f"keyfile {tmp_path}/ours.key"]
    with broker(tmp_path, "allow_anonymous true", *files) as one:
        asyncio.run(scene(one.port))


def test_a_broker_that_takes_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "ANSWER_S", 0.2)

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            port = deaf.getsockname()[1]
            async with running(output(kind="mqtt", host="127.0.0.1", port=port)) as (_, ways):
                await until(lambda: ways.told()[0]["state"] == "retrying")
                assert ways.told()[0]["detail"] == f"127.0.0.1:{port} does not answer"

    asyncio.run(scene())


# --- Home Assistant ---

# What its documentation of discovery and of MQTT binary sensors allows, and what it needs.
SENSOR = {
    "name",
    "unique_id",
    "state_topic",
    "payload_on",
    "payload_off",
    "device_class",
    "json_attributes_topic",
    "availability",
    "availability_mode",
    "qos",
    "device",
    "origin",
}
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version"}


def test_home_assistant_discovers_each_label_of_each_own_source(tmp_path: Path) -> None:
    async def scene(port: int) -> None:
        way = output(kind="mqtt", host="127.0.0.1", port=port, home_assistant=True, rule={"sources": ["stage*"]})
        with watching(port) as watcher:
            async with running(way) as (hub, ways):
                hub.publish("stage.1", state())
                hub.publish("hall", state())  # not wanted
                hub.tell("stage-x", state(name=None))  # a client's session is no source of ours
                await until(lambda: ways.told()[0]["sent"] == 2)
                await until(lambda: watcher.newest.get("spiccato/stage.1/low") == "OFF")
                found = {t: json.loads(text) for t, text in watcher.newest.items() if t.startswith("homeassistant/")}
                assert set(found) == {
                    f"homeassistant/binary_sensor/spiccato_stage_1_{n}/config" for n in ("low", "high")
                }
                for topic, about in found.items():
                    assert re.fullmatch(r"homeassistant/binary_sensor/[a-zA-Z0-9_-]+/config", topic)
                    check(about)
                low = found["homeassistant/binary_sensor/spiccato_stage_1_low/config"]
                assert low["device"]["name"] == "Spiccato Stage left"
                states = {low["state_topic"], *(one["topic"] for one in low["availability"])}
                assert {topic: watcher.newest[topic] for topic in states} == {
                    "spiccato/stage.1/low": "OFF",
                    "spiccato/status": "online",
                    "spiccato/stage.1/status": "online",
                }
                hub.tell("stage.1", onset())
                await until(lambda: watcher.newest.get(low["state_topic"]) == low["payload_on"])
                assert json.loads(watcher.newest[low["json_attributes_topic"]])["score"] == 0.75
                hub.publish("stage.1", state("lost"))
                await until(lambda: watcher.newest["spiccato/stage.1/status"] == "offline")

    with broker(tmp_path, "allow_anonymous true") as one:
        asyncio.run(scene(one.port))


def test_what_is_retained_of_a_source_goes_with_it_and_at_the_next_start(toy_path: Path, tmp_path: Path) -> None:
    def way(port: int, **more: Any) -> Any:
        return output(kind="mqtt", host="127.0.0.1", port=port, home_assistant=True, **more)

    def nowhere(id: str) -> Any:
        return {"kind": "stream", "id": id, "url": "http://127.0.0.1:1/"}

    def kept(port: int) -> dict[str, str]:
        """All that is retained."""
        with watching(port) as late:
            assert late.subscribed.wait(60)
            late.publish("end", "")
            eventually(lambda: "end" in late.newest)
            return {topic: text for topic, text in late.newest.items() if text}

    def topics(source: str) -> set[str]:
        sensors = {f"homeassistant/binary_sensor/spiccato_{source}_{label}/config" for label in ("low", "high")}
        return sensors | {f"spiccato/{source}/{part}" for part in ("status", "low", "high")}

    foreign = {"homeassistant/binary_sensor/other/config": "{}", "homeassistant/binary_sensor/x/config": "no JSON"}
    foreign["elsewhere/hall/status"] = "online"
    with broker(tmp_path, "allow_anonymous true") as one, watching(one.port) as watcher:
        for topic, text in foreign.items():
            watcher.publish(topic, text, retain=True)
        with live_server(model=toy_path, outputs=(way(one.port),), sources=[nowhere("hall"), nowhere("stage")]):
            eventually(lambda: topics("hall") | topics("stage") <= set(watcher.newest))
        assert set(kept(one.port)) == topics("hall") | topics("stage") | set(foreign) | {"spiccato/status"}
        # the settings have changed while it was stopped
        with live_server(model=toy_path, outputs=(way(one.port),), sources=[nowhere("stage")]) as server:
            eventually(lambda: not any(watcher.newest[topic] for topic in topics("hall")))
            assert set(kept(one.port)) == topics("stage") | set(foreign) | {"spiccato/status"}
            told = [topic for topic, text in watcher.all if topic in topics("stage") and not text]
            assert told == []  # what stays was never taken away
            httpx.delete(f"{server.url}/v1/sources/stage")
            eventually(lambda: not any(watcher.newest[topic] for topic in topics("stage")))
            assert set(kept(one.port)) == set(foreign) | {"spiccato/status"}


def check(about: dict[str, Any]) -> None:
    """As Home Assistant checks the configuration of a discovered binary sensor."""
    assert set(about) == SENSOR
    assert set(about["device"]) == DEVICE
    assert about["device"]["identifiers"]
    assert set(about["origin"]) == {"name", "sw_version"}
    assert about["availability_mode"] in ("all", "any", "latest")
    assert about["qos"] in (0, 1, 2)
    assert about["device_class"] == "sound"
    for topic in (
        about["state_topic"],
        about["json_attributes_topic"],
        *(one["topic"] for one in about["availability"]),
    ):
        assert 0 < len(topic.encode()) <= 65_535
        assert not set("+#\0") & set(topic)
