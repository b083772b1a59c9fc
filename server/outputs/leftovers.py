"""What a broker still keeps of sources and labels that are ours no more: found once, after a start. Knows topics and
what is retained; nothing of connections.
"""

import json
from collections.abc import Iterable

from server.outputs.discovery import Topics, config_topic


class Leftovers:
    """Given what is retained below our topics, says which of it is to be cleared."""

    def __init__(self, topics: Topics, discovery: str | None) -> None:
        """discovery: where Home Assistant listens; None: it is told nothing."""
        self.complete = False  # all that is retained was given
        self._topics = topics
        self._discovery = discovery
        self._found: dict[str, str] = {}  # retained, by topic

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        found = [f"{self._topics.root}/#"]
        return found if self._discovery is None else [*found, f"{self._discovery}/binary_sensor/+/config"]

    def take(self, topic: str, text: str, retained: bool) -> None:
        """What the subscriptions give: first all that is retained, then our own words, `online` being the first."""
        if retained and text:
            self._found[topic] = text
        elif topic == self._topics.status:
            self.complete = True

    def stale(self, sources: Iterable[str], labels: Iterable[str]) -> list[str]:
        """The topics to clear: those of sources that are none of `sources`, and discovered labels that are none."""
        names, labels = list(sources), list(labels)
        ours = {self._topics.source(name) for name in names}
        gone = {topic.removesuffix("/status") for topic in self._found if self._is_source(topic) and topic not in ours}
        stale = [topic for topic in self._found if any(topic.startswith(f"{source}/") for source in gone)]
        if self._discovery is not None:
            known = {config_topic(self._discovery, self._topics, name, label) for name in names for label in labels}
            stale += [topic for topic, text in self._found.items() if self._is_config(text) and topic not in known]
        return stale

    def _is_source(self, topic: str) -> bool:
        return topic.endswith("/status") and topic.startswith(f"{self._topics.root}/") and topic != self._topics.status

    def _is_config(self, text: str) -> bool:
        """A sensor that we told Home Assistant of."""
        try:
            told = json.loads(text)
            return told["origin"]["name"] == "Spiccato" and told["state_topic"].startswith(f"{self._topics.root}/")
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
