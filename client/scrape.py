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


async def scrape(url: str, token: str | None) -> Scrape | None:
    """None where the service does not let us: the token's role has no right to it."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=10.0) as http:
        answer = await http.get(f"{url.rstrip('/')}/metrics", headers=headers)
    return Scrape(answer.text) if answer.status_code == 200 else None
