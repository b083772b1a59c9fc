"""What a service says of itself at `GET /metrics`. Knows the names that are asked for here, and Prometheus' text."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

LAG = "spiccato_event_loop_lag_seconds"


class Scrape:
    """One reading of every sample: name to value, those with the same name added up."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, float] = {}
        self.lag: dict[float, float] = {}  # upper edge, s: how often the loop came at most so late
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.values[sample.name] = self.values.get(sample.name, 0.0) + sample.value
                if sample.name == f"{LAG}_bucket":
                    edge = float(sample.labels["le"])
                    self.lag[edge] = self.lag.get(edge, 0.0) + sample.value

    def lag_since(self, before: "Scrape", percent: float) -> float | None:
        """Upper edge, s, of the bucket in which this percentile of the event loop's lag since `before` lies."""
        counts = {edge: count - before.lag.get(edge, 0.0) for edge, count in sorted(self.lag.items())}
        total = max(counts.values(), default=0.0)
        return next((edge for edge, count in counts.items() if total and count >= total * percent / 100), None)


class Scraper:
    """Asks one service again and again. To be made before anything is measured: an HTTP client takes 20 ms to make."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(timeout=10.0, headers=headers)
        self._address = f"{url.rstrip('/')}/metrics"

    async def text(self) -> str | None:
        """For `Scrape`, later. None where the service does not let us: the token's role has no right to it."""
        answer = await self._http.get(self._address)
        return answer.text if answer.status_code == 200 else None

    async def close(self) -> None:
        await self._http.aclose()
