"""Which addresses a stream may come from, and how they are shown."""

import ipaddress

import pytest
from pydantic import ValidationError

from server.reach import SCHEMES, NotAllowed, Reach, hosts, schemes, shown
from server.settings import Settings


def reach(names: str = "") -> Reach:
    return Reach(SCHEMES, hosts(names))


@pytest.mark.parametrize(
    "url",
    [
        "http://radio.example/live",
        "https://user:word@radio.example:8443/live?key=1",
        "rtsp://192.168.1.20/stream1",
        "rtsp://[2001:db8::1]/stream1",
        "udp://@:5004",
        "udp://239.0.0.1:5004",
        "rtp://@239.0.0.1:5004",
        "http://127.0.0.1:8000/live",
    ],
)
def test_streams_may_come_from_anywhere_unless_settings_say_otherwise(url: str) -> None:
    reach().check(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///etc/passwd", "not 'file'"),
        ("concat:http://a/b|c", "not 'concat'"),
        ("/etc/passwd", "no address"),
        ("ftp://radio.example/x", "not 'ftp'"),
        ("crypto+http://radio.example/x", r"not 'crypto\+http'"),
        ("http://", "names no host"),
        ("http://radio.example/a b", "no spaces"),
        ("http://radio.example/\n", "no spaces"),
        ("http://radio.example:port/", "no address"),
        ("http://[::1/", "no address"),
        ("http://radio.example/" + "x" * 2_000, "2000 characters"),
        ("http://169.254.169.254/latest/meta-data", "link-local"),
        ("http://[fe80::1%25eth0]/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
    ],
)
def test_what_is_no_address_of_a_stream_is_refused(url: str, told: str) -> None:
    with pytest.raises(NotAllowed, match=told):
        reach().check(url)


@pytest.mark.parametrize(
    ("allowed", "host", "address", "may"),
    [
        ("radio.example", "radio.example", "203.0.113.5", True),
        ("radio.example", "RADIO.example.", "203.0.113.5", True),
        ("radio.example", "evil.example", "203.0.113.5", False),
        ("*.radio.example", "a.radio.example", "203.0.113.5", True),
        ("*.radio.example", "aradio.example", "203.0.113.5", False),
        ("192.168.0.0/16", "camera.lan", "192.168.7.7", True),
        ("192.168.0.0/16", "camera.lan", "192.169.7.7", False),
        ("192.168.7.7", "192.168.7.7", "192.168.7.7", True),
        ("192.168.7.7", "192.168.7.8", "192.168.7.8", False),
        ("radio.example", "radio.example", "169.254.169.254", False),  # a name that leads to a cloud's secrets
        ("", "radio.example", "169.254.169.254", False),
        ("radio.example, 169.254.0.0/16", "radio.example", "169.254.1.1", True),
        ("10.0.0.0/8", "radio.example", "::ffff:10.1.2.3", True),
    ],
)
def test_a_host_is_allowed_by_name_or_by_where_its_name_leads(allowed: str, host: str, address: str, may: bool) -> None:
    if may:
        reach(allowed).check_address(host, ipaddress.ip_address(address))
    else:
        with pytest.raises(NotAllowed, match=host):
            reach(allowed).check_address(host, ipaddress.ip_address(address))


def test_a_name_that_no_setting_has_is_refused_before_it_is_looked_up() -> None:
    with pytest.raises(NotAllowed, match=r"evil\.example is none of .*radio\.example"):
        reach("radio.example").check("http://evil.example/")
    reach("radio.example, 10.0.0.0/8").check("http://evil.example/")  # its address may be in the network


def test_what_we_only_wait_for_calls_no_host() -> None:
    reach("radio.example").check("udp://239.0.0.1:5004")
    with pytest.raises(NotAllowed, match="not 'udp'"):
        Reach(schemes("https")).check("udp://239.0.0.1:5004")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://radio.example/live", "http://radio.example/live"),
        ("rtsp://user:pass@camera.lan:554/a", "rtsp://camera.lan:554/a"),
        ("https://radio.example/live?token=secret#secret", "https://radio.example/live?..."),
        ("http://user:12/secret@radio.example/x", "http://user:12/..."),
        ("http://radio.example:port/", "an address that cannot be read"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, seen: str) -> None:
    assert shown(url).startswith(seen)
    assert not any(secret in shown(url) for secret in ("pass", "secret"))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"stream_schemes": "http,file"}, "'file' is none of http, https"),
        ({"stream_hosts": "192.168.0.0/99"}, "192.168.0.0/99"),
        ({"stream_hosts": "radio example"}, "'radio example' is no name"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings(**setting)
