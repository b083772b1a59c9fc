"""HTTP and HTTPS for streams: a body to read from as it comes. Knows redirects, playlists of radios and ICY titles.

FFmpeg's own HTTP follows redirects to any host and takes any certificate; here every address that is connected to was
checked (`reach.py`), redirected ones and those in playlists too, and certificates are verified. Knows nothing of sound.
"""

import base64
import errno
import http.client
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from server.reach import NotAllowed, Reach, scheme_of
from server.version import VERSION

MAX_HOPS = 8  # redirects and playlists in a row
MAX_PLAYLIST = 65_536  # bytes
MAX_TITLE = 300  # characters
PLAYLISTS = frozenset({"audio/x-scpls", "audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl", "audio/scpls"})


class Unreachable(Exception):
    """Nobody answers, or the answer is no stream; `status` is that of HTTP, where there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """An answer's body. `read` gives what there is, as PyAV wants it; `title` is called with each new ICY title."""

    def __init__(self, url: str, answer: http.client.HTTPResponse, title: Callable[[str], None]) -> None:
        self.url = url  # after redirects
        self.type = (answer.getheader("content-type") or "").partition(";")[0].strip().casefold()
        self.length = answer.length  # None: it goes on for ever, or does not say
        self.radio = any(name.casefold().startswith("icy-") for name, _ in answer.getheaders())
        self.name = (answer.getheader("icy-name") or "").strip()[:MAX_TITLE]
        self._answer = answer
        self._title = title
        self._last = ""
        interval = answer.getheader("icy-metaint") or ""
        self._interval = int(interval) if interval.isascii() and interval.isdigit() else 0
        self._left = self._interval  # bytes of sound before the next title

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are some; none at the end. Raises OSError, http.client.HTTPException."""
        if self._interval and not self._left:
            self._read_title()
            self._left = self._interval
        data = self._answer.read1(min(size, self._left) if self._interval else size)
        self._left -= len(data) if self._interval else 0
        if not data and self._answer.length:
            raise ConnectionResetError(errno.ECONNRESET, f"cut off, {self._answer.length} bytes before the end")
        return data

    def close(self) -> None:
        self._answer.close()

    def _read_title(self) -> None:
        """A byte that counts blocks of 16, then `StreamTitle='...';` and zeros. Source: SHOUTcast's protocol."""
        count = self._answer.read(1)
        block = self._answer.read(16 * count[0]) if count else b""
        found = re.search(r"StreamTitle='(.*?)';", _text(block), re.S)
        if found is not None and (title := found[1].strip()[:MAX_TITLE]) != self._last:
            self._last = title
            self._title(title)


def fetch(url: str, reach: Reach, timeout_s: float, title: Callable[[str], None] = lambda _: None) -> Body:
    """The body at `url`, or where redirects and radio playlists lead. Raises NotAllowed, Unreachable."""
    for _ in range(MAX_HOPS):
        reach.check(url)
        if scheme_of(url) not in ("http", "https"):
            raise NotAllowed(f"a {scheme_of(url)} address, where only http and https go on")
        try:
            answer = _asked(url, reach, timeout_s)
            if answer.status in (301, 302, 303, 307, 308) and (location := answer.getheader("location")):
                answer.close()
                url = _joined(url, location)
            elif answer.status != 200:
                answer.close()
                raise Unreachable(f"the server answers HTTP {answer.status} {answer.reason}".rstrip(), answer.status)
            elif (entry := _playlist_entry(body := Body(url, answer, title))) is not None:
                body.close()
                url = _joined(url, entry)
            else:
                return body
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(reason(error)) from error
    raise Unreachable(f"more than {MAX_HOPS} redirects in a row")


def reason(error: Exception) -> str:
    """Why nothing comes, without an address in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its name is not known here"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no HTTP ({type(error).__name__})"


def _joined(url: str, location: str) -> str:
    """A redirect's target; user and password go on to the same host only."""
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    if before.username is not None and after.username is None and before.hostname == after.hostname:
        userinfo = before.netloc.rpartition("@")[0]
        target = after._replace(netloc=f"{userinfo}@{after.netloc}").geturl()
    return target


def _playlist_entry(body: Body) -> str | None:
    """The first address in a radio's .pls or .m3u; None for sound and for HLS, which is FFmpeg's to read."""
    path = urlsplit(body.url).path.casefold()
    if body.type not in PLAYLISTS and not path.endswith((".pls", ".m3u")):
        return None
    if body.type == "application/x-mpegurl" or path.endswith(".m3u8"):
        return None
    text = b""
    while len(text) < MAX_PLAYLIST and (data := body.read(MAX_PLAYLIST)):
        text += data
    for line in _text(text).splitlines():
        entry = re.sub(r"^File\d+=", "", line.strip(), flags=re.I)
        if entry and not entry.startswith(("#", "[")) and "=" not in entry.partition("://")[0]:
            return entry
    raise Unreachable("the playlist names no stream")


def _asked(url: str, reach: Reach, timeout_s: float) -> http.client.HTTPResponse:
    split = urlsplit(url)
    host, secure = split.hostname or "", split.scheme == "https"
    port = split.port or (443 if secure else 80)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    connection.sock = _connected(host, port, reach, timeout_s, secure)
    connection.response_class = _Response
    headers = {"User-Agent": f"spiccato/{VERSION}", "Accept": "*/*", "Icy-MetaData": "1", "Connection": "close"}
    if split.username is not None:
        pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _connected(host: str, port: int, reach: Reach, timeout_s: float, secure: bool) -> socket.socket:
    """A socket to the first address of `host` that answers."""
    failed: OSError | None = None
    for address in reach.resolved(host, port):
        try:
            plain = socket.create_connection((address, port), timeout_s)
        except OSError as error:
            failed = error
            continue
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
    raise failed or OSError(f"{host} has no address")


class _Response(http.client.HTTPResponse):
    """Old radio servers begin with `ICY 200 OK` instead of `HTTP/1.0 200 OK`."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = self.fp
        if self.fp.peek(4)[:4] == b"ICY ":
            self.fp = _Renamed(self.fp)


class _Renamed:
    """A file whose first four bytes are replaced."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begun = False

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        if not self._begun:
            self._begun = True
            line = b"HTTP/1.0 " + line[4:]
        return bytes(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _text(data: bytes) -> str:
    """Radios write titles as UTF-8, or as Latin-1."""
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return data.rstrip(b"\0").decode("latin-1")
