"""MQTT: what is on now as retained states, each event as a message, the service's own state by last will.

A new connection is told what is on now; of what waited for it the events are told, in order, and not the states, which
were others by then. paho's thread moves the bytes; everything else is on the event loop. Knows topics.
"""

import asyncio
import contextlib
import json
import ssl
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from server.outputs.config import Mqtt
from server.outputs.discovery import Topics, config_topic, payload
from server.outputs.leftovers import Leftovers
from server.outputs.sender import Lost, Message, Sender
from server.secret import SecretError

ANSWER_S = 10.0  # for the broker to take a message or a connection
FAREWELL_S = 2.0
UNSPECIFIED = 0x80  # paho's reason where the connection broke without a word
HERE = frozenset({"healthy", "silent"})  # states of a source in which its labels mean something

Said = tuple[str, str, bool]  # topic, payload, retained


class MqttSender(Sender):
    states = True

    def __init__(self, config: Mqtt, labels: Iterable[str], model: str) -> None:
        """labels: those that may pass. model: its name, for Home Assistant."""
        self._config = config
        self._topics = Topics(config.topic)
        self._labels = tuple(labels)
        self._model = model
        self._sources: dict[str, Message] = {}  # the newest `source` message of each of the server's own
        self._newest: dict[tuple[str, str], Message] = {}  # event, by source and label
        self._client: Client | None = None
        self._connected: asyncio.Future[ReasonCode]
        self._acks: dict[int, asyncio.Future[None]] = {}  # by message id
        self._leftovers: Leftovers | None = Leftovers(self._topics, self._discovery)  # None: they are cleared
        self._sources_known: list[str] | None = None  # at the start they are not yet
        self._gone = asyncio.Event()
        self._why = ""
        self._opened_s = 0.0  # when this connection was told all states

    @property
    def target(self) -> str:
        return f"{self._config.host}:{self._port}"

    @property
    def _discovery(self) -> str | None:
        return self._config.discovery_topic if self._config.home_assistant else None

    @property
    def _port(self) -> int:
        return self._config.port or (8_883 if self._config.tls else 1_883)

    def passing(self, source: str, message: Message) -> None:
        if message["type"] == "event":
            self._newest[source, message["label"]] = message
        elif message["type"] == "removed":
            self._sources.pop(source, None)
            self._newest = {key: event for key, event in self._newest.items() if key[0] != source}
        elif message["name"] is not None:
            self._sources[source] = message

    def known(self, sources: list[str]) -> None:
        self._sources_known = sources
        self._clear_leftovers()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._connected = loop.create_future()
        self._gone.clear()
        self._why = f"{self.target} closed the connection"
        client = self._client = self._made(loop)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._connect(client)
                client.loop_start()
                answer = await self._connected
        except TimeoutError as error:
            raise Lost(f"{self.target} does not answer") from error
        except OSError as error:
            raise Lost(f"{self.target}: {error.strerror or error}") from error
        if answer.is_failure:
            raise Lost(f"{self.target} refuses: {str(answer).lower()}")
        self._opened_s = loop.time()
        if self._leftovers is not None:
            qos: int = self._config.qos
            client.subscribe([(topic, qos) for topic in self._leftovers.filters])
        said: list[Said] = [(self._topics.status, "online", True)]
        for source, message in self._sources.items():
            said += self._source(source, message)
        for (source, _), message in self._newest.items():
            said += self._state(source, message)
        await self._publish(said)

    async def _connect(self, client: Client) -> None:
        """In a thread that nobody waits for: a broker that is silent must not hold up the end. Raises OSError."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OSError | None] = loop.create_future()

        def answer(error: OSError | None) -> None:
            if not done.done():
                done.set_result(error)

        def connect() -> None:
            error = None
            try:
                client.connect(self._config.host, self._port, self._config.keepalive_s)
            except OSError as caught:
                _close_left_open(caught)
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(answer, error)

        threading.Thread(target=connect, name="mqtt connect", daemon=True).start()
        if (error := await done) is not None:
            raise error

    async def send(self, source: str, message: Message) -> None:
        fresh = self.came_s >= self._opened_s
        if message["type"] == "removed":
            await self._publish([] if source in self._sources else self._none(source))  # it was added again meanwhile
            return
        if message["type"] == "source":
            await self._publish(self._source(source, message) if fresh and message["name"] is not None else [])
            return
        event = (self._topics.events(source), json.dumps(message), False)
        await self._publish([event, *self._state(source, message)] if fresh else [event])

    async def lost(self) -> None:
        await self._gone.wait()
        raise Lost(self._why)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            taken = client.publish(self._topics.status, "offline", self._config.qos, retain=True)
            ack = self._acks[taken.mid] = asyncio.get_running_loop().create_future()
            await asyncio.wait({ack}, timeout=FAREWELL_S)
            client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        for ack in self._acks.values():
            ack.cancel()
        self._acks.clear()

    def _source(self, source: str, message: Message) -> list[Said]:
        """Whether it is there; and, for Home Assistant, each of its labels."""
        said: list[Said] = []
        if self._config.home_assistant:
            for label in self._labels:
                about = payload(self._topics, source, message["name"], label, self._model, self._config.qos)
                topic = config_topic(self._config.discovery_topic, self._topics, source, label)
                said.append((topic, json.dumps(about), True))
        said.append((self._topics.source(source), "online" if message["state"] in HERE else "offline", True))
        quiet = [label for label in self._labels if (source, label) not in self._newest]
        return said + [(self._topics.label(source, label), "OFF", True) for label in quiet]

    def _none(self, source: str) -> list[Said]:
        """Nothing is retained of it any more, and Home Assistant forgets it."""
        topics = [self._topics.source(source)]
        for label in self._labels:
            topics += [self._topics.label(source, label), self._topics.attributes(source, label)]
            if self._discovery is not None:
                topics.append(config_topic(self._discovery, self._topics, source, label))
        return [(topic, "", True) for topic in topics]

    def _clear_leftovers(self) -> None:
        """Once the broker has told what it keeps, and the service which sources there are."""
        leftovers, client = self._leftovers, self._client
        if leftovers is None or client is None or not leftovers.complete or self._sources_known is None:
            return
        self._leftovers = None
        client.unsubscribe(leftovers.filters)
        for topic in leftovers.stale(self._sources_known, self._labels):
            client.publish(topic, "", self._config.qos, retain=True)

    def _state(self, source: str, event: Message) -> list[Said]:
        """What an event makes of its label."""
        return [
            (self._topics.attributes(source, event["label"]), json.dumps(event), True),
            (self._topics.label(source, event["label"]), "OFF" if event["is_final"] else "ON", True),
        ]

    async def _publish(self, said: list[Said]) -> None:
        """Returns once the broker has taken all of it. Raises Lost."""
        assert self._client is not None
        waiting: set[asyncio.Future[Any]] = set()
        for topic, text, retained in said:
            taken = self._client.publish(topic, text, self._config.qos, retained)
            if taken.rc != MQTT_ERR_SUCCESS:
                raise Lost(self._why)
            ack = self._acks[taken.mid] = asyncio.get_running_loop().create_future()
            waiting.add(ack)
        if not waiting:
            return
        gone = asyncio.ensure_future(self._gone.wait())
        all_taken = asyncio.gather(*waiting)
        either: set[asyncio.Future[Any]] = {all_taken, gone}
        done, _ = await asyncio.wait(either, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if all_taken not in done:
            all_taken.cancel()
            raise Lost(self._why if self._gone.is_set() else f"{self.target} takes nothing for {ANSWER_S:g} s")

    def _made(self, loop: asyncio.AbstractEventLoop) -> Client:
        """A client whose thread reports to the loop. Raises Lost."""
        config = self._config
        client = Client(CallbackAPIVersion.VERSION2, config.client_id or "", reconnect_on_failure=False)
        client.connect_timeout = ANSWER_S
        try:
            if config.user is not None:
                client.username_pw_set(config.user, None if config.password is None else config.password.read())
            if config.tls:
                context = ssl.create_default_context(cafile=config.ca_file)
                if config.cert_file is not None:
                    context.load_cert_chain(config.cert_file, config.key_file)
                client.tls_set_context(context)
        except (OSError, SecretError) as error:
            raise Lost(f"password or certificates: {error}") from error
        client.will_set(self._topics.status, "offline", config.qos, retain=True)

        def connected(_: Client, __: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
            loop.call_soon_threadsafe(self._answered, client, reason)

        def disconnected(_: Client, __: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
            loop.call_soon_threadsafe(self._left, client, reason)

        def published(_: Client, __: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
            loop.call_soon_threadsafe(self._taken, mid)

        def told(_: Client, __: Any, message: MQTTMessage) -> None:
            loop.call_soon_threadsafe(self._told, client, message.topic, bytes(message.payload), message.retain)

        client.on_connect, client.on_disconnect, client.on_publish = connected, disconnected, published
        client.on_message = told
        return client

    # --- on the event loop, for paho's thread ---

    def _answered(self, client: Client, reason: ReasonCode) -> None:
        if client is self._client and not self._connected.done():
            self._connected.set_result(reason)

    def _left(self, client: Client, reason: ReasonCode) -> None:
        if client is self._client:
            said = "" if reason.value == UNSPECIFIED else f": {str(reason).lower()}"
            self._why = f"the connection to {self.target} is lost{said}"
            self._gone.set()

    def _told(self, client: Client, topic: str, payload: bytes, retained: bool) -> None:
        if client is self._client and self._leftovers is not None:
            self._leftovers.take(topic, payload.decode(errors="replace"), retained)
            self._clear_leftovers()

    def _taken(self, mid: int) -> None:
        ack = self._acks.pop(mid, None)
        if ack is not None and not ack.done():
            ack.set_result(None)


def _close_left_open(error: OSError) -> None:
    """paho forgets the socket of a handshake that failed: it is left in the frames of the error."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, ssl.SSLSocket):
                value.close()
