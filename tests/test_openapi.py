"""The service keeps to its own description: requests made up from `/openapi.json`, valid and not, to the real server.

No answer may be a 5xx, none may have a status, a type or a body that is not described. schemathesis makes the requests.
One 5xx is right: `/readyz` may say that the event loop came late. The requests are made up in the server's own process,
and what is parsed for them holds the interpreter for as long as it takes: over a second on a busy machine.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live_server import LiveServer, eventually, live_server
from tests.virtual_mic import fake_portaudio

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 15  # of each operation
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
OF_ITS_OWN = {"/v1/events/stream"}  # has no end; tests/test_subscribers.py reads it


@pytest.fixture
def described(toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    fake_portaudio(monkeypatch, "missing")  # a source that is added fails at once
    with live_server(model=toy_path, history=f"{tmp_path}/history.sqlite") as server:
        yield server


def is_late(answer: Any) -> bool:
    """Does a 503 of /readyz give no other reason than the event loop?"""
    checks = answer.json()["checks"]
    return [check["name"] for check in checks if check["required"] and not check["ok"]] == ["event_loop"]


def validate(case: Any, answer: Any) -> None:
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKED)
    late = case.path == "/readyz" and answer.status_code == 503 and is_late(answer)
    right = schemathesis.checks.CHECKS.get_by_names(["not_a_server_error"]) if late else []
    case.validate_response(answer, checks=checks, excluded_checks=right)


def test_every_answer_is_one_that_is_described(described: LiveServer) -> None:
    answers: Counter[str] = Counter()
    schemathesis.checks.load_all_checks()
    found = schemathesis.openapi.from_url(f"{described.url}/openapi.json")
    operations = [result.ok() for result in found.get_all_operations()]
    assert len(operations) >= 12
    eventually(lambda: httpx.get(f"{described.url}/readyz").status_code == 200)
    for operation in operations:
        if operation.path in OF_ITS_OWN:
            continue
        modes = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=st.one_of(modes))
        def answered(case: Any) -> None:
            answer = case.call(timeout=60)
            answers[f"{case.method} {case.path} {answer.status_code}"] += 1
            validate(case, answer)

        answered()
    print(f"schemathesis: {sum(answers.values())} requests, {dict(sorted(answers.items()))}")
    assert len({answer.rpartition(" ")[0] for answer in answers}) == len(operations) - len(OF_ITS_OWN)


def test_of_all_5xx_only_that_of_a_late_event_loop_is_right(
    described: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemathesis.checks.load_all_checks()
    found = schemathesis.openapi.from_url(f"{described.url}/openapi.json")
    ready, classify = found["/readyz"]["GET"].Case(), found["/v1/classify"]["POST"].Case()

    monkeypatch.setattr(described.service.metrics, "worst_lag_s", 1e6)
    answer = httpx.get(f"{described.url}/readyz")
    assert answer.status_code == 503
    validate(ready, answer)

    monkeypatch.setattr(described.service, "ready", False)
    for case, answer in (
        (ready, httpx.get(f"{described.url}/readyz")),
        (classify, httpx.post(f"{described.url}/v1/classify", content=b"x")),
    ):
        assert answer.status_code == 503
        with pytest.raises(schemathesis.core.failures.FailureGroup) as failed:
            validate(case, answer)
        assert "Server error" in str(failed.value.exceptions)
