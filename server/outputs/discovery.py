"""What Home Assistant is told so that it finds every label by itself: a binary sensor each, one device for each source.

Source: Home Assistant, "MQTT" (discovery) and "MQTT binary sensor". Knows topics and names; sends nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

from server.version import VERSION


@dataclass(frozen=True)
class Topics:
    """The topics of an output that begin with `root`."""

    root: str

    @property
    def status(self) -> str:
        """`online` or `offline`: the service."""
        return f"{self.root}/status"

    def source(self, source: str) -> str:
        """`online` or `offline`: the source."""
        return f"{self.root}/{level(source)}/status"

    def events(self, source: str) -> str:
        """Each event."""
        return f"{self.root}/{level(source)}/event"

    def label(self, source: str, label: str) -> str:
        """`ON` or `OFF`."""
        return f"{self.root}/{level(source)}/{level(label)}"

    def attributes(self, source: str, label: str) -> str:
        """The label's newest event."""
        return f"{self.label(source, label)}/attributes"


def level(name: str) -> str:
    """A name as one level of a topic."""
    return re.sub(r"[/+#\x00-\x1f]", "_", name)


def config_topic(discovery: str, topics: Topics, source: str, label: str) -> str:
    """Where Home Assistant looks for it."""
    return f"{discovery}/binary_sensor/{unique_id(topics, source, label)}/config"


def unique_id(topics: Topics, source: str, label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{topics.root}_{source}_{label}")


def payload(topics: Topics, source: str, name: str, label: str, model: str, qos: int) -> dict[str, Any]:
    """The configuration of one binary sensor. name: of the source, for people."""
    return {
        "name": label.replace("_", " ").capitalize(),
        "unique_id": unique_id(topics, source, label),
        "state_topic": topics.label(source, label),
        "payload_on": "ON",
        "payload_off": "OFF",
        "device_class": "sound",
        "json_attributes_topic": topics.attributes(source, label),
        "availability": [{"topic": topics.status}, {"topic": topics.source(source)}],
        "availability_mode": "all",
        "qos": qos,
        "device": {
            "identifiers": [re.sub(r"[^A-Za-z0-9_-]", "_", f"{topics.root}_{source}")],
            "name": f"Spiccato {name}",
            "manufacturer": "Spiccato",
            "model": model,
            "sw_version": VERSION,
        },
        "origin": {"name": "Spiccato", "sw_version": VERSION},
    }
