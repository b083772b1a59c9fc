"""HTTP for streams: radios old and new, playlists, redirects, passwords, certificates."""

import shutil
import ssl
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from server.fetch import Body, Unreachable, fetch
from server.reach import SCHEMES, NotAllowed, Reach, hosts
from tests.stream_servers import Radio, http_server

REACH = Reach(SCHEMES)
SOUND = bytes(range(256)) * 64  # 16 KiB


def radio(**more: Any) -> Radio:
    return Radio(SOUND, 1.0, burst_s=9.0, ends=True, **more)


def everything(body: Body) -> bytes:
    data = b""
    while piece := body.read(1_000):
        data += piece
    body.close()
    return data


def test_a_body_is_given_as_it_came() -> None:
    with http_server(radio()) as url:
        assert everything(fetch(f"{url}/live", REACH, 5.0)) == SOUND


def test_titles_are_told_and_are_no_sound() -> None:
    titles: list[str] = []
    with http_server(radio(titles=["One", "One", "Zwei; it's 'quoted'", ""])) as url:
        body = fetch(f"{url}/live", REACH, 5.0, titles.append)
        assert (body.name, body.radio) == ("Radio Test", True)
        assert everything(body) == SOUND[: len(SOUND) // Radio.METAINT * Radio.METAINT]
    assert titles == ["One", "Zwei; it's 'quoted'", ""]


def test_an_old_radio_that_speaks_icy_instead_of_http_is_heard() -> None:
    with http_server(radio(status=b"ICY 200 OK", headers={"icy-name": "Old"})) as url:
        body = fetch(f"{url}/", REACH, 5.0)
        assert (body.name, everything(body)) == ("Old", SOUND)


@pytest.mark.parametrize(
    ("path", "type", "text"),
    [
        ("/listen.pls", "audio/x-scpls", "[playlist]\nNumberOfEntries=1\nFile1={url}/live\nTitle1=x\n"),
        ("/listen.m3u", "audio/x-mpegurl", "#EXTM3U\n#EXTINF:-1,x\n{url}/live\n"),
        ("/listen.m3u", "text/plain", "/live\n"),
    ],
)
def test_a_radios_playlist_leads_to_the_radio(path: str, type: str, text: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/live":
            radio().serve(handler)
        else:
            Radio(text.format(url=urls[0]).encode(), 1.0, 9.0, type=type, ends=True).serve(handler)

    urls: list[str] = []
    with http_server(answer) as url:
        urls.append(url)
        body = fetch(f"{url}{path}", REACH, 5.0)
        assert (body.url, everything(body)) == (f"{url}/live", SOUND)


def test_an_empty_playlist_is_told() -> None:
    playlist = Radio(b"[playlist]\n", 1.0, 9.0, type="audio/x-scpls", ends=True)
    with http_server(playlist) as url, pytest.raises(Unreachable, match="names no stream"):
        fetch(f"{url}/x.pls", REACH, 5.0)


def test_an_hls_playlist_is_left_to_ffmpeg() -> None:
    hls = Radio(b"#EXTM3U\n", 1.0, 9.0, type="application/vnd.apple.mpegurl", ends=True)
    with http_server(hls) as url:
        assert everything(fetch(f"{url}/x.m3u8", REACH, 5.0)) == b"#EXTM3U\n"


def test_user_and_password_go_to_their_host_only() -> None:
    seen: dict[str, str | None] = {}

    def second(handler: BaseHTTPRequestHandler) -> None:
        seen["other host"] = handler.headers.get("Authorization")
        radio().serve(handler)

    def first(handler: BaseHTTPRequestHandler) -> None:
        seen[handler.path] = handler.headers.get("Authorization")
        target = {"/a": "/b", "/b": other.replace("127.0.0.1", "localhost")}[handler.path]
        radio(status=b"HTTP/1.1 302 Found", headers={"Location": target}).serve(handler)

    with http_server(second) as other, http_server(first) as url:
        fetch(f"{url.replace('http://', 'http://me:p%40ss@')}/a", REACH, 5.0).close()
    assert seen == {"/a": "Basic bWU6cEBzcw==", "/b": "Basic bWU6cEBzcw==", "other host": None}


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused_and_not_asked() -> None:
    asked: list[str] = []

    def first(handler: BaseHTTPRequestHandler) -> None:
        radio(status=b"HTTP/1.1 302 Found", headers={"Location": other}).serve(handler)

    with http_server(lambda handler: asked.append(handler.path)) as secret, http_server(first) as url:
        other = secret.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(NotAllowed, match=r"127\.0\.0\.2 is none of the hosts"):
            fetch(f"{url}/a", Reach(SCHEMES, hosts("127.0.0.1")), 5.0)
    assert asked == []


def test_a_file_that_is_cut_short_is_no_end() -> None:
    with http_server(radio(headers={"Content-Length": str(len(SOUND) + 1)})) as url:
        body = fetch(f"{url}/live", REACH, 5.0)
        with pytest.raises(ConnectionResetError, match="1 bytes before the end"):
            everything(body)


def test_a_server_that_says_nothing_is_given_up() -> None:
    silent = radio()
    silent.frozen.set()
    with http_server(lambda handler: silent.over.wait(10)) as url:
        with pytest.raises(Unreachable, match="no answer in time"):
            fetch(f"{url}/live", REACH, 0.2)
        silent.over.set()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with http_server(radio(), tls=context) as url, pytest.raises(Unreachable, match="certificate is not trusted"):
        fetch(f"{url}/live", REACH, 5.0)
