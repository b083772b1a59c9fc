"""The outputs that run: begun, changed while the service runs, told, stopped. `GET /v1/outputs`.

Knows which sender belongs to which settings, and the hub, from which all events come.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request

from engine.weights import Model
from server.hub import Hub, Message
from server.outputs.config import Command, Midi, Mqtt, Osc, Output, Webhook
from server.outputs.gate import Gate
from server.outputs.runner import Runner
from server.outputs.sender import Sender

router = APIRouter()


class Outputs:
    def __init__(self, model: Model, hub: Hub) -> None:
        self._model = model
        self._hub = hub
        self._families = dict(zip(model.labels, model.families, strict=True))
        self._running: dict[str, Runner] = {}
        self._sources_known = False
        hub.tap(self._tell, scores=self._scores)

    async def apply(self, wanted: Iterable[Output]) -> None:
        """From now on these run. Those whose settings are the same go on; the others are stopped or begun."""
        new = {output.name or output.kind: output for output in wanted}
        gone = [runner for name, runner in self._running.items() if new.get(name) != runner.config]
        for runner in gone:
            del self._running[runner.name]
        await asyncio.gather(*(runner.stop() for runner in gone))
        for name, output in new.items():
            if name not in self._running:
                self._running[name] = runner = Runner(output, self._sender(output), self._families)
                case = self._hub.case()
                for source, message in case:
                    runner.tell(source, {**message, "phase": "onset"} if message["type"] == "event" else message)
                if self._sources_known:
                    runner.known({source for source, _ in case})

    def known(self, sources: Iterable[str]) -> None:
        """The server's own sources have been begun, these: what is left of others may go."""
        self._sources_known = True
        for runner in self._running.values():
            runner.known(sources)

    async def close(self) -> None:
        await self.apply([])

    def told(self) -> list[dict[str, Any]]:
        return [runner.told() for runner in self._running.values()]

    def _tell(self, source: str, message: Message) -> None:
        for runner in self._running.values():
            runner.tell(source, message)

    def _scores(self, source: str, message: Message) -> None:
        for runner in self._running.values():
            runner.scores(source, message["top"])

    def _sender(self, output: Output) -> Sender:
        """Modules are imported when they are used: MIDI's packages are an extra."""
        if isinstance(output, Mqtt):
            from server.outputs.mqtt import MqttSender

            wanted = Gate(output.rule, self._families).labels()
            return MqttSender(output, [label for label in self._model.labels if label in wanted], self._model.id)
        if isinstance(output, Webhook):
            from server.outputs.webhook import WebhookSender

            return WebhookSender(output)
        if isinstance(output, Osc):
            from server.outputs.osc import OscSender

            return OscSender(output)
        if isinstance(output, Midi):
            from server.outputs.midi import MidiSender

            return MidiSender(output, self._model)
        assert isinstance(output, Command)
        from server.outputs.command import CommandSender

        return CommandSender(output)


@router.get("/v1/outputs")
async def listed(request: Request) -> dict[str, Any]:
    return {"outputs": request.app.state.service.outputs.told()}
