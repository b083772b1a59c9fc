"""`/metrics` of all workers as one text: every sample with the number of its worker. Knows Prometheus' text form."""

import asyncio
import logging
from collections.abc import Iterator

import httpx
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from server.place import Place

log = logging.getLogger("spiccato.workers")

PATIENCE_S = 5.0


async def gathered(place: Place, own: bytes) -> bytes:
    """own: the text of this worker. A worker that does not answer is left out, with a line in the log."""
    texts = await asyncio.gather(*(_text(place, number, own) for number in range(place.count)))
    told = Together({number: text for number, text in enumerate(texts) if text is not None})
    return await asyncio.to_thread(generate_latest, told)  # type: ignore[arg-type]  # it needs `collect` only


async def _text(place: Place, number: int, own: bytes) -> str | None:
    if number == place.number:
        return own.decode()
    transport = httpx.AsyncHTTPTransport(verify=False, uds=str(place.socket_of(number)))  # no TLS in a file
    try:
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE_S) as http:
            answer = await http.get("http://localhost/metrics")
            return answer.raise_for_status().text
    except httpx.HTTPError as error:
        log.warning("no metrics worker=%d error=%r", number, str(error))
        return None


class Together(Collector):
    def __init__(self, texts: dict[int, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for number, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(number)}
                    whole.samples.append(sample._replace(labels=labels))
        yield from families.values()
