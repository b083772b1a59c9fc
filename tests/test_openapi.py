"""The service keeps to its own description: requests made up from `/openapi.json`, valid and not, to the real server.

No answer may be a 5xx, none may have a status, a type or a body that is not described. schemathesis makes the requests.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live_server import LiveServer, live_server
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


def test_every_answer_is_one_that_is_described(described: LiveServer) -> None:
    answers: Counter[str] = Counter()
    schemathesis.checks.load_all_checks()
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKED)
    found = schemathesis.openapi.from_url(f"{described.url}/openapi.json")
    operations = [result.ok() for result in found.get_all_operations()]
    assert len(operations) >= 12
    for operation in operations:
        if operation.path in OF_ITS_OWN:
            continue
        modes = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=st.one_of(modes))
        def answered(case: Any) -> None:
            answer = case.call(timeout=30)
            answers[f"{case.method} {case.path} {answer.status_code}"] += 1
            case.validate_response(answer, checks=checks)

        answered()
    print(f"schemathesis: {sum(answers.values())} requests, {dict(sorted(answers.items()))}")
    assert len({answer.rpartition(" ")[0] for answer in answers}) == len(operations) - len(OF_ITS_OWN)
