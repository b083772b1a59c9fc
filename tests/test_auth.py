"""Who is let in: tokens, roles, tickets, hosts, and what a stranger never learns. On the real server."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from client import stream as client
from engine.weights import Model
from server import sessions as sessions_module
from server import tickets as tickets_module
from server import tokens as tokens_module
from server.errors import Refusal
from server.limits import ADDRESSES, Attempts, one_address
from server.origin import is_ours, is_same, names
from server.roles import ALLOWED, Role, allowed
from server.settings import Settings
from server.tickets import LIFE_S, Tickets
from server.tokens import AuthError, Tokens, check
from spiccato import newtoken
from tests.conftest import ROOT
from tests.live_server import LiveServer, live_server, receive, send

SECRET = {role: f"{role}-token-of-forty-three-characters-XYZ012" for role in Role}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def guarded(toy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with a token for each role."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text("# who\n\n" + "".join(f"{role} {token}\n" for role, token in SECRET.items()))
    with live_server(model=toy_path, token_file=file, root_path="/studio") as running:
        yield running


def opened(server: LiveServer, path: str, **how: Any) -> ClientConnection:
    return connect(server.ws + path, **how)


def refused_with(server: LiveServer, path: str, **how: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        opened(server, path, **how).__enter__()
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"")["error"]["code"]


# --- where it may listen ---


def test_beyond_loopback_the_service_does_not_start_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "studio.local"):
        with pytest.raises(AuthError, match=r"`spiccato token` makes one"):
            check(Settings(host=host))
    for host in ("127.0.0.1", "127.3.2.1", "localhost", "::1"):
        assert not check(Settings(host=host))
    assert check(Settings(host="0.0.0.0", token="a" * 16))


def test_the_command_says_in_a_sentence_why_it_does_not_start() -> None:
    arguments = [sys.executable, "-m", "spiccato", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert re.match(
        r"spiccato: host=0\.0\.0\.0 is open to the network and there is no token.*`spiccato token`", done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "# nothing\n", "boss " + "a" * 20, "short", "a b c", "listen " + "ä" * 20])
def test_a_token_file_that_cannot_be_used_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(AuthError) as told:
        check(Settings(token_file=file))
    assert str(file) in str(told.value)
    assert not any(word in str(told.value) for word in text.split() if len(word) > 10)


def test_an_empty_token_in_the_environment_is_none() -> None:
    with pytest.raises(AuthError, match="no token"):
        check(Settings(host="0.0.0.0", token=""))


def test_a_setting_never_shows_its_token() -> None:
    assert SECRET[Role.ADMIN] not in repr(Settings(token=SECRET[Role.ADMIN]))


def test_the_token_command_makes_tokens_that_the_service_takes(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    arguments = [sys.executable, "-m", "spiccato", "token", "--file", str(file)]
    made = [
        subprocess.run([*arguments, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for more in ([], ["--role", "listen"])
    ]
    known = check(Settings(host="0.0.0.0", token_file=file))
    assert [known.of(token) for token in made] == [Role.ADMIN, Role.LISTEN]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_begins_a_line_of_its_own_where_an_editor_left_the_last_one_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"listen {SECRET[Role.LISTEN]}")
    newtoken.run(Role.PRODUCE, file)
    known = check(Settings(host="0.0.0.0", token_file=file))
    made = capsys.readouterr().out.strip()
    assert [known.of(token) for token in (SECRET[Role.LISTEN], made)] == [Role.LISTEN, Role.PRODUCE]


# --- who may do what ---


def test_every_route_is_named_with_its_roles(server: LiveServer) -> None:
    def routes(found: Any) -> Iterator[Any]:
        for route in found:
            yield route
            yield from routes(getattr(getattr(route, "original_router", None), "routes", []))

    import server.app as app_module

    app: Any = app_module.create_app(server.settings)
    seen = set()
    for route in routes(app.routes):
        methods = ["WS"] if isinstance(route, APIWebSocketRoute) else sorted(getattr(route, "methods", None) or [])
        if isinstance(route, APIRoute | APIWebSocketRoute) and allowed(methods[0], route.path) is not None:
            path = re.sub(r"\{.*", "", route.path)
            seen |= {(method, path) for method in methods}
    assert ("WS", "/v1/stream") in seen
    assert seen - set(ALLOWED) == set()


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("GET", "/v1/info", {"listen", "produce", "admin"}),
        ("GET", "/v1/schema", {"listen", "produce", "admin"}),
        ("POST", "/v1/classify", {"produce", "admin"}),
        ("GET", "/v1/sources", {"admin"}),
        ("POST", "/v1/sources", {"admin"}),
        ("PATCH", "/v1/sources/x", {"admin"}),
        ("DELETE", "/v1/sources/x", {"admin"}),
        ("GET", "/v1/outputs", {"admin"}),
        ("POST", "/v1/reload", {"admin"}),
        ("GET", "/v1/nothing", {"admin"}),
        ("POST", "/v1/info", {"admin"}),
    ],
)
def test_a_role_may_do_what_it_is_for_and_nothing_else(
    guarded: LiveServer, method: str, path: str, may: set[str]
) -> None:
    for prefix in ("", "/studio"):
        url = guarded.url + prefix + path
        answer = httpx.request(method, url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for role, token in SECRET.items():
            passed = httpx.request(method, url, headers=bearer(token)).status_code not in (401, 403)
            assert passed == (role in may), (role, method, path)


@pytest.mark.parametrize(("path", "may"), [("/v1/stream", {"produce", "admin"}), ("/v1/events", {"listen", "admin"})])
def test_a_socket_is_opened_with_a_token_in_a_header_or_as_a_subprotocol(
    guarded: LiveServer, path: str, may: set[str]
) -> None:
    assert refused_with(guarded, path) == (401, "not_authenticated")
    for role, token in SECRET.items():
        offered = [Subprotocol("spiccato.v1"), Subprotocol(f"spiccato.bearer.{token}")]
        for how in ({"additional_headers": bearer(token)}, {"subprotocols": offered}):
            if role in may:
                with opened(guarded, path, **how) as ws:
                    assert ws.subprotocol == ("spiccato.v1" if "subprotocols" in how else None)
                    assert token not in str(ws.response)
            else:
                assert refused_with(guarded, path, **how) == (403, "not_allowed")


def test_the_page_and_the_health_checks_are_for_everybody(guarded: LiveServer) -> None:
    for path in ("/", "/app.js", "/healthz", "/readyz", "/studio/", "/studio/app.js"):
        assert httpx.get(guarded.url + path).status_code == 200, path


@pytest.mark.parametrize("path", ["/v1/sources", "/v1/sources/", "//v1/sources", "/v1/../v1/sources", "/v1%2fsources"])
def test_no_spelling_of_an_address_gets_past_the_door(guarded: LiveServer, path: str) -> None:
    url = httpx.URL(guarded.url)
    for prefix in ("", "/studio", "/studio/studio", "/../studio"):
        with socket.create_connection((url.host, url.port or 0)) as client:
            client.sendall(f"GET {prefix}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))
        assert int(answer.split()[1]) in (401, 404), (prefix, path)
        assert b"sources" not in answer.partition(b"\r\n\r\n")[2].replace(b"v1/sources", b"")


def test_a_token_in_an_address_is_not_taken(guarded: LiveServer) -> None:
    assert httpx.get(f"{guarded.url}/v1/info", params={"token": SECRET[Role.ADMIN]}).status_code == 401
    assert refused_with(guarded, f"/v1/stream?token={SECRET[Role.ADMIN]}") == (401, "not_authenticated")


def test_every_known_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Tokens([("a" * 16, Role.LISTEN), ("b" * 16, Role.PRODUCE), ("c" * 16, Role.ADMIN)])
    compared: list[int] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        assert len(one) == len(other) == hashlib.sha256().digest_size
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(tokens_module, "hmac", type("hmac", (), {"compare_digest": staticmethod(compare)}))
    assert [known.of(t) for t in ("a" * 16, "c" * 16, "a" * 15, "", "é")] == [Role.LISTEN, Role.ADMIN, None, None, None]
    assert len(compared) == 5 * 3  # never fewer: a match ends nothing early


@pytest.mark.parametrize("module", [tickets_module, sessions_module])
def test_what_is_no_known_token_is_compared_in_constant_time_too(
    module: Any, toy: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    told = {"compare_digest": staticmethod(compare), "new": hmac.new}
    monkeypatch.setattr(module, "hmac", type("hmac", (), told))
    if module is tickets_module:
        tickets = Tickets(b"key")
        right = tickets.make(Role.LISTEN, 0.0)
        assert tickets.use(f"{right}0", 0.0) is None
        expected = (right.rpartition(".")[2].encode(), f"{right}0".rpartition(".")[2].encode())
    else:
        with ThreadPoolExecutor(1) as threads:
            sessions = sessions_module.Sessions(toy, Settings(), threads)
            sessions._kept["s_1"] = SimpleNamespace(secret="right")  # type: ignore[assignment]
            with pytest.raises(Refusal, match="no session waits"):
                sessions._find("s_1.wrong")
        expected = (b"wrong", b"right")
    assert compared == [expected]


# --- tickets ---


def ticket(server: LiveServer, role: str, token: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/tickets", json={"role": role}, headers=bearer(token))


def test_a_ticket_opens_one_socket_of_its_role_once(guarded: LiveServer) -> None:
    made = ticket(guarded, "produce", SECRET[Role.ADMIN])
    assert (made.status_code, made.json()["role"], made.json()["expires_s"]) == (201, "produce", LIFE_S)
    assert "no-store" in made.headers["cache-control"]
    offered = {"subprotocols": ["spiccato.v1", f"spiccato.ticket.{made.json()['ticket']}"]}
    with opened(guarded, "/v1/stream", **offered) as ws:
        assert receive(ws)["type"] == "ready"
    assert refused_with(guarded, "/v1/stream", **offered) == (401, "not_authenticated")
    other = ticket(guarded, "produce", SECRET[Role.PRODUCE]).json()["ticket"]
    headers = {"additional_headers": {"Authorization": f"Ticket {other}"}}
    assert refused_with(guarded, "/v1/events", **headers) == (403, "not_allowed")


def test_no_ticket_gives_more_than_the_token_it_was_asked_with(guarded: LiveServer) -> None:
    for asker in (Role.LISTEN, Role.PRODUCE):
        for wanted in Role:
            assert ticket(guarded, wanted, SECRET[asker]).status_code == (201 if asker == wanted else 403)
    assert ticket(guarded, "emperor", SECRET[Role.ADMIN]).status_code == 400


def test_a_ticket_that_is_old_forged_or_of_another_service_is_worth_nothing() -> None:
    tickets = Tickets(b"key")
    one = tickets.make(Role.LISTEN, 1000.0)
    assert tickets.use(one.replace("listen", "admin"), 1000.0) is None
    assert tickets.use(one[:-1] + ("0" if one[-1] != "0" else "1"), 1000.0) is None
    assert Tickets(b"other").use(one, 1000.0) is None
    assert tickets.use(one, 1001.0 + LIFE_S) is None
    assert tickets.use(one, 1000.0 + LIFE_S) is Role.LISTEN
    assert tickets.use(one, 1000.0) is None
    for junk in ("", ".", "a.b", "listen.x.y.z", "é"):
        assert tickets.use(junk, 1000.0) is None


# --- guessing ---


def test_an_address_may_guess_ten_times_and_then_slowly(toy_path: Path) -> None:
    with live_server(model=toy_path, token=SECRET[Role.ADMIN]) as server:
        codes = [httpx.get(f"{server.url}/v1/info", headers=bearer(f"guess-{n:020}")).status_code for n in range(10)]
        assert codes == [401] * 10
        for token in (
            "guess-number-eleven",
            SECRET[Role.ADMIN],
        ):  # the right one too: a guess must not show by its answer
            answer = httpx.get(f"{server.url}/v1/info", headers=bearer(token))
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_attempts")
            assert 1 <= int(answer.headers["retry-after"]) <= 6
        assert httpx.get(f"{server.url}/v1/info").status_code == 401  # no token is no guess


def test_attempts_come_back_with_time_and_one_address_takes_none_from_another() -> None:
    attempts = Attempts(burst=2, per_minute=6)
    for _ in range(2):
        assert attempts.wait_s("a", 0) == 0
        attempts.count("a", 0)
    assert attempts.wait_s("a", 0) == pytest.approx(10)
    assert attempts.wait_s("a", 9) == pytest.approx(1)
    assert attempts.wait_s("a", 10) == attempts.wait_s("b", 0) == 0
    for number in range(3 * ADDRESSES):
        attempts.count(str(number), 20)
    assert len(attempts._left) == ADDRESSES


def test_an_ipv6_customer_is_one_address() -> None:
    assert one_address("2001:db8:1:2::1") == one_address("2001:db8:1:2:ffff::9") != one_address("2001:db8:1:3::1")
    assert one_address("::ffff:192.0.2.1") == one_address("192.0.2.1") != one_address("192.0.2.2")
    assert one_address("fe80::1%eth0") == one_address("fe80::1")


def test_connections_from_afar_are_counted_and_believed_only_from_the_proxy(toy_path: Path) -> None:
    def come(server: LiveServer, address: str) -> int:
        try:
            with opened(server, "/v1/events", additional_headers={"X-Forwarded-For": address}):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    with live_server(model=toy_path, connects_per_minute=2) as server:
        assert [come(server, "192.0.2.1") for _ in range(3)] == [101, 101, 429]
        assert come(server, "192.0.2.2") == come(server, "127.0.0.1") == 101
    with live_server(model=toy_path, connects_per_minute=2, forwarded_allow_ips="192.0.2.9") as server:
        assert [come(server, "192.0.2.1") for _ in range(4)] == [101] * 4  # it is this machine, whatever it says


# --- pages of other sites ---


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("localhost", True),
        ("192.0.2.7:8000", True),
        ("Studio.local:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8000", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_only_our_own_names_and_addresses_are_hosts(host: str, ours: bool) -> None:
    assert is_ours(host, names("127.0.0.1", "studio.local, x.example")) == ours
    assert is_ours(host, names("127.0.0.1", "*"))


def test_a_name_that_was_made_to_lead_here_is_refused(guarded: LiveServer) -> None:
    headers = {"Host": "evil.example", "Origin": "http://evil.example", **bearer(SECRET[Role.ADMIN])}
    for path in ("/", "/v1/info", "/healthz"):
        answer = httpx.get(guarded.url + path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "foreign_host")


def test_a_port_that_goes_without_saying_makes_no_other_origin() -> None:
    assert is_same("https://studio.example", "studio.example:443")
    assert is_same("http://studio.example:80", "studio.example")
    assert not is_same("https://studio.example", "studio.example:8443")
    assert not is_same("http://studio.example", "studio.example:443")


def test_no_other_site_may_read_anything(guarded: LiveServer) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for method, path in (("OPTIONS", "/v1/classify"), ("GET", "/v1/info"), ("GET", "/")):
        answer = httpx.request(method, guarded.url + path, headers={**asked, **bearer(SECRET[Role.ADMIN])})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_forbids_inline_scripts_frames_and_guessing(guarded: LiveServer) -> None:
    for path, headers in (("/", {}), ("/nothing", {}), ("/v1/info", {}), ("/healthz", {"Host": "evil.example"})):
        told = httpx.get(guarded.url + path, headers=headers).headers
        policy = dict(part.split(" ", 1) for part in told["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "no-referrer"
        assert "server" not in told


@pytest.mark.parametrize(
    "path",
    [
        "/../../server/app.py",
        "/..%2f..%2fserver%2fapp.py",
        "/%2e%2e/%2e%2e/server/app.py",
        "/style/../../../server/app.py",
        "/..\\..\\server\\app.py",
        "/%5c..%5c..%5cserver%5capp.py",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/%00",
        "/style/%00/../app.js",
        "/....//....//server/app.py",
        "/" + "../" * 40 + "etc/passwd",
        "/style",
        "/" + "a" * 5000,
    ],
)
def test_no_path_leads_out_of_the_pages_folder(guarded: LiveServer, path: str) -> None:
    url = httpx.URL(guarded.url)
    for prefix in ("", "/studio"):
        with socket.create_connection((url.host, url.port or 0)) as client:
            client.sendall(f"GET {prefix}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))
        assert int(answer.split()[1]) in (307, 400, 404), answer[:200]
        assert b"create_app" not in answer
        assert b"root:" not in answer


# --- TLS, logs ---


def test_over_tls_the_service_speaks_https_and_wss(toy_path: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(make, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    context = ssl.create_default_context(cafile=str(cert))
    with live_server(model=toy_path, tls_cert=cert, tls_key=key) as server:
        assert server.url.startswith("https://")
        assert httpx.get(f"{server.url}/v1/info", verify=context).status_code == 200
        with opened(server, "/v1/stream", ssl=context) as ws:
            assert receive(ws)["type"] == "ready"
    with pytest.raises(AuthError, match="belong together"):
        check(Settings(tls_cert=cert))


def test_no_log_line_ever_holds_a_token_or_a_ticket(toy_path: Path) -> None:
    secret = SECRET[Role.ADMIN]
    arguments = [
        sys.executable,
        "-m",
        "spiccato",
        "serve",
        "--model",
        str(toy_path),
        "--port",
        "0",
        "--host",
        "0.0.0.0",
    ]
    arguments += ["--log-level", "debug", "--log-format", "json"]
    environment = {**os.environ, "SPICCATO_TOKEN": secret}
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found is not None, process.stderr.read() if process.stderr else ""
        url = found[0]
        deadline = time.monotonic() + 60
        while httpx.get(f"{url}/readyz").status_code != 200:
            assert time.monotonic() < deadline
        wrong = "a-wrong-token-0123456789"
        resumes: list[str] = []
        made = httpx.post(f"{url}/v1/tickets", json={"role": "produce"}, headers=bearer(secret)).json()["ticket"]
        for token in (secret, wrong):
            httpx.get(f"{url}/v1/info", headers=bearer(token))
            httpx.get(f"{url}/v1/info", params={"token": token})
            httpx.post(f"{url}/v1/classify", content=b"x", headers=bearer(token))
        ws = url.replace("http", "ws", 1) + "/v1/stream"
        for kind, credential in (("bearer", secret), ("ticket", made), ("ticket", made), ("bearer", wrong)):
            offered = [Subprotocol("spiccato.v1"), Subprotocol(f"spiccato.{kind}.{credential}")]
            try:
                with connect(ws, subprotocols=offered) as socket_:
                    receive(socket_)
                    resume = {"token": resumes[-1], "last_seq": 0} if resumes else None
                    send(socket_, "start", audio={"encoding": "pcm_s16le", "sample_rate": 16_000}, resume=resume)
                    if (told := receive(socket_))["type"] == "started":
                        resumes.append(told["resume"]["token"])
            except InvalidStatus:
                pass
        process.send_signal(signal.SIGINT)
        out, log = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"connect", "disconnect", "refused", "ready"} <= {line["message"].split()[0] for line in lines}
    assert [line["code"] for line in lines if line["message"].startswith("refused peer")][:1] == ["not_authenticated"]
    assert all("request" in line for line in lines if line["message"].startswith(("connect", "refused")))
    assert len(resumes) == 1
    for text in (secret, wrong, made, made.rpartition(".")[2], resumes[0].rpartition(".")[2]):
        assert text not in said + out + log


# --- our own clients ---


def test_the_clients_show_their_token_and_tell_what_the_service_says_without_one(guarded: LiveServer) -> None:
    async def come(token: str | None) -> str:
        async with client.connect(guarded.ws, sample_rate=16_000, token=token) as stream:
            return str((await stream.stop())["type"])

    assert asyncio.run(come(SECRET[Role.PRODUCE])) == "summary"
    for token, code in ((None, "not_authenticated"), (SECRET[Role.LISTEN], "not_allowed")):
        with pytest.raises(client.StreamError) as refused:
            asyncio.run(come(token))
        assert refused.value.code == code
        assert guarded.ws in str(refused.value)
