"""The service behind a real Caddy, with the lines of docs/operations.md: at `/` and below a path."""

import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.live_server import eventually, live_server
from tests.test_proxy import NAME, TOKEN, certificate, check_events, check_page, check_stream, check_upload
from tests.virtual_mic import fake_portaudio

__all__ = ["certificate"]  # a fixture

CADDY = shutil.which("caddy")
NO_CADDY = "caddy is not installed, so it cannot be tested: apt-get install caddy"


def configuration(how: str, port: int, upstream: int, certificate: tuple[Path, Path]) -> str:
    """The documented lines; only names, ports, the certificate and what Caddy would do beside it are other ones."""
    text = (ROOT / "docs" / "operations.md").read_text().partition("### Caddy")[2]
    site = re.findall(r"```\n(.+?)```", text, re.S)[how != "at /"]
    name, opening, rest = site.partition(" {\n")
    assert name in (NAME, "example.org")
    assert "127.0.0.1:8000" in rest
    ours = f"    bind 127.0.0.1\n    tls {certificate[0]} {certificate[1]}\n"
    site = f"https://{NAME}:{port}{opening}{ours}{rest}".replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    return f"{{\n    admin off\n    auto_https disable_redirects\n    default_sni {NAME}\n}}\n{site}"


@pytest.mark.skipif(CADDY is None, reason=NO_CADDY)
@pytest.mark.parametrize("how", ["at /", "below a path"])
def test_behind_a_real_caddy_everything_works(
    how: str,
    toy_path: Path,
    tmp_path: Path,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert CADDY is not None
    fake_portaudio(monkeypatch, "tone")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False  # the name leads nowhere: the test goes to the address
    root = f"https://127.0.0.1:{port}" + ("" if how == "at /" else "/spiccato")
    config, log = tmp_path / "Caddyfile", tmp_path / "log"
    homes = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    command = [CADDY, "run", "--config", str(config), "--adapter", "caddyfile"]
    with live_server(model=toy_path, allowed_hosts=NAME, token=TOKEN) as server, log.open("w") as told:
        config.write_text(configuration(how, port, server.settings.port, certificate))
        with subprocess.Popen(command, env=homes, stdout=told, stderr=told) as caddy:
            try:

                def answers() -> bool:
                    assert caddy.poll() is None, log.read_text()
                    with socket.socket() as probe:
                        return probe.connect_ex(("127.0.0.1", port)) == 0

                eventually(answers)
                headers = {"Host": f"{NAME}:{port}", "Authorization": f"Bearer {TOKEN}"}
                with httpx.Client(verify=context, headers=headers, timeout=30) as client:
                    check_page(client, root, how, strangers=False)
                    check_stream(server, root, client.headers["host"], context)
                    check_upload(client, root, tmp_path)
                    check_events(client, root)
                    other = client.get(f"{root}/v1/info", headers={"Host": "evil.example"})
                    assert other.content == b""  # Caddy knows its names itself: this never comes to the service
            finally:
                caddy.kill()  # asked to end, it waits for connections that nobody uses, up to 30 s
    assert TOKEN not in log.read_text()
