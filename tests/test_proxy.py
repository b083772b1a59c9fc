"""The service behind a real nginx, with the lines of docs/operations.md: at `/` and below a path, cut off or not."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright
from websockets.sync.client import connect

from tests.audio_files import write
from tests.browser import CHROMIUM
from tests.conftest import ROOT
from tests.live_server import LiveServer, bare, eventually, live_server, receive, send, until
from tests.synth import low_high, pcm16, write_wav
from tests.virtual_mic import fake_portaudio

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
TOKEN = "a-token-that-the-proxy-passes-on"
NAME = "spiccato.example"
HOW = ("at /", "below a path, cut off", "below a path")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if NGINX is None:
        pytest.skip("nginx is not installed, so the proxy cannot be tested: apt-get install nginx-light")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    make += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(make, check=True, capture_output=True)
    return cert, key


def configuration(how: str, folder: Path, port: int, upstream: int, certificate: tuple[Path, Path]) -> str:
    """nginx's, with the documented blocks; only ports and files are other ones."""
    blocks = re.findall(r"```nginx\n(.+?)```", (ROOT / "docs" / "operations.md").read_text(), re.S)
    snippet, site, below = blocks
    (folder / "spiccato.conf").write_text(snippet)
    if how != "at /":
        start = site.index("    location / {")
        site = site[:start] + below + "}\n"
    if how == "below a path":
        site = site.replace("127.0.0.1:8000/;", "127.0.0.1:8000;")
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("/etc/ssl/spiccato.pem", str(certificate[0])),
        ("/etc/ssl/spiccato.key", str(certificate[1])),
        ("snippets/spiccato.conf", str(folder / "spiccato.conf")),
    ):
        assert old in site, old
        site = site.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    return (
        f"user root;\ndaemon off;\npid {folder / 'pid'};\nerror_log {folder / 'error.log'};\nevents {{}}\n"
        f"http {{\naccess_log {folder / 'access.log'};\n{paths}{site}}}\n"
    )


@contextmanager
def behind(
    how: str, server: LiveServer, folder: Path, certificate: tuple[Path, Path]
) -> Iterator[tuple[httpx.Client, str, ssl.SSLContext]]:
    """A client of the proxy, its address up to the service's root, and how it trusts it."""
    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(configuration(how, folder, port, server.settings.port, certificate))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False  # the name leads nowhere: the test goes to the address
    root = f"https://127.0.0.1:{port}" + ("" if how == "at /" else "/spiccato")
    with subprocess.Popen([NGINX, "-e", str(folder / "start.log"), "-c", str(config)]) as nginx:
        try:

            def answers() -> bool:
                assert nginx.poll() is None, (folder / "start.log").read_text()
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0

            eventually(answers)
            headers = {"Host": f"{NAME}:{port}", "Authorization": f"Bearer {TOKEN}"}
            with httpx.Client(verify=context, headers=headers, timeout=30) as client:
                yield client, root, context
        finally:
            nginx.terminate()
    log = (folder / "access.log").read_text() + (folder / "error.log").read_text()
    assert TOKEN not in log


@pytest.mark.parametrize("how", HOW)
def test_behind_a_real_nginx_everything_works(
    how: str,
    toy_path: Path,
    tmp_path: Path,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_portaudio(monkeypatch, "tone")
    settings = {"allowed_hosts": NAME, "token": TOKEN, "root_path": "/spiccato" if how == "below a path" else ""}
    with (
        live_server(model=toy_path, **settings) as server,
        behind(how, server, tmp_path, certificate) as (client, root, context),
    ):
        check_page(client, root, how)
        check_stream(server, root, client.headers["host"], context)
        check_upload(client, root, tmp_path)
        check_events(client, root)


def check_page(client: httpx.Client, root: str, how: str, strangers: bool = True) -> None:
    """strangers: requests for names that are not ours come through."""
    page = client.get(f"{root}/")
    assert page.status_code == 200
    for address in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
        assert not address.startswith("/")
        assert client.get(f"{root}/{address}").status_code == 200, address
    if how != "at /":
        moved = client.get(root)
        assert (moved.status_code, moved.headers["location"].endswith("/spiccato/")) == (308, True)
    assert client.get(f"{root}/v1/info", headers={"Authorization": ""}).status_code == 401
    if strangers:
        assert client.get(f"{root}/v1/info", headers={"Host": "evil.example"}).status_code == 421
    assert client.get(f"{root}/v1/info", headers={"Origin": f"https://{client.headers['host']}"}).status_code == 200
    assert client.get(f"{root}/v1/info", headers={"Origin": "https://evil.example"}).status_code == 403


def check_stream(server: LiveServer, root: str, host: str, context: ssl.SSLContext) -> None:
    """A session through the proxy, as a browser opens it, gets the same events as one without."""
    sound = pcm16(low_high())
    url = root.replace("https", "wss") + "/v1/stream"
    offered = ["spiccato.v1", f"spiccato.bearer.{TOKEN}"]
    at = socket.create_connection(("127.0.0.1", httpx.URL(root).port or 443))
    named = url.replace("127.0.0.1", NAME)
    with connect(
        named, sock=at, ssl=context, server_hostname=NAME, subprotocols=offered, origin=f"https://{host}"
    ) as ws:  # type: ignore[arg-type]
        assert ws.subprotocol == "spiccato.v1"
        assert receive(ws)["type"] == "ready"
        send(ws, "start", audio={"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1})
        for start in range(0, len(sound), 640):
            ws.send(sound[start : start + 640])
        send(ws, "stop")
        heard = bare(until(ws, "summary"))
    with connect(f"{server.ws}/v1/stream", additional_headers={"Authorization": f"Bearer {TOKEN}"}) as ws:
        assert receive(ws)["type"] == "ready"
        send(ws, "start", audio={"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1})
        ws.send(sound)
        send(ws, "stop")
        assert bare(until(ws, "summary")) == heard
    assert [event["label"] for event in heard if event["phase"] == "offset"] == ["low", "high"]


def check_upload(client: httpx.Client, root: str, folder: Path) -> None:
    """Over nginx's own limit of 1 MB, and over what it would keep in memory."""
    data = write(folder / "a.wav", low_high(192_000), 192_000)
    assert len(data) > 1_200_000
    answer = client.post(f"{root}/v1/classify", files={"file": ("a.wav", data)})
    assert [event["label"] for event in answer.json()["events"]] == ["low", "high"]


def check_events(client: httpx.Client, root: str) -> None:
    """Server-Sent Events come as they happen, not when a buffer is full."""
    with client.stream("GET", f"{root}/v1/events/stream?label=low") as events:
        lines = events.iter_lines()
        asked = time.monotonic()
        assert next(lines) == "retry: 2000"
        assert time.monotonic() - asked < 5
        assert client.post(f"{root}/v1/sources", json={"device": "line", "name": "stage"}).status_code == 201
        told = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        onset = next(message for message in told if message["type"] == "event")
        assert (onset["label"], onset["phase"], onset["source"]) == ("low", "onset", "stage")
    assert client.delete(f"{root}/v1/sources/stage").status_code == 204


def test_the_page_works_behind_nginx_below_a_path(
    toy_path: Path, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} does not exist, so the page cannot be tested: apt-get install chromium")
    sound = write_wav(tmp_path / "tones.wav", low_high(48_000), 48_000)
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        "--use-fake-ui-for-media-stream",
    ]
    flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={sound}"]
    with (
        live_server(model=toy_path, allowed_hosts=NAME, token=TOKEN) as server,
        behind("below a path, cut off", server, tmp_path, certificate) as (_, root, _),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(root.replace("127.0.0.1", NAME))  # without the last `/`
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        page.click("#listen")
        page.wait_for_selector('.stage-names [data-label="low"]')
        page.click("#listen")
        page.set_input_files("#file", sound)
        page.wait_for_selector("#timeline .lane")
        browser.close()
    assert [text for text in complaints if "401" not in text] == []  # the one before the token
