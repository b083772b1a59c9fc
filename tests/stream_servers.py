"""Servers of streams on free ports of this machine: a radio over HTTP, HLS, RTSP, MPEG-TS over UDP. PyAV encodes.

Each plays a sound over and over, in real time after a burst, and can be cut off or frozen.
"""

import base64
import contextlib
import io
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

STEP_S = 0.05


def encode(file: Any, samples: NDArray[np.float32], rate: int, format: str, codec: str, **options: str) -> None:
    """Write `samples`, (n,) float32 or (n, 2), to a file or an address with FFmpeg."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with av.open(file, "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=stream.layout.name
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout=stream.layout, rate=rate)
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            fifo.write(converted)
        while (piece := fifo.read(stream.frame_size or 1024, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def encoded(samples: NDArray[np.float32], rate: int, format: str, codec: str, **options: str) -> bytes:
    file = io.BytesIO()
    encode(file, samples, rate, format, codec, **options)
    return file.getvalue()


@dataclass
class Radio:
    """What an HTTP server gives at every path: `head`, then `sound` for ever, `seconds` long each time."""

    sound: bytes
    seconds: float
    burst_s: float = 1.0
    head: bytes = b""
    type: str = "audio/mpeg"
    status: bytes = b"HTTP/1.0 200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)  # of ICY, one after each METAINT bytes
    ends: bool = False  # after one time
    frozen: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    METAINT = 4096

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {"Content-Type": self.type, **self.headers}
        wants = handler.headers.get("Icy-MetaData") == "1" and self.titles
        if wants:
            headers |= {"icy-metaint": str(self.METAINT), "icy-name": "Radio Test"}
        lines = [self.status, *(f"{name}: {value}".encode() for name, value in headers.items()), b"", b""]
        handler.wfile.write(b"\r\n".join(lines) + self.head)
        for piece in self._titled(self._pieces()) if wants else self._pieces():
            handler.wfile.write(piece)

    def _pieces(self) -> Iterator[bytes]:
        """In real time after the burst."""
        began = time.monotonic() - self.burst_s
        rate = len(self.sound) / self.seconds
        sent = 0
        while not self.over.is_set() and not (self.ends and sent >= len(self.sound)):
            if self.frozen.is_set():
                paused = time.monotonic()
                while self.frozen.is_set() and not self.over.wait(STEP_S):
                    pass
                began += time.monotonic() - paused
            due = round((time.monotonic() - began) * rate)
            due = min(due, len(self.sound)) if self.ends else due
            if due > sent:
                begin, count = sent % len(self.sound), due - sent
                yield (self.sound[begin:] + self.sound * (count // len(self.sound) + 1))[:count]
                sent = due
            self.over.wait(STEP_S)

    def _titled(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        waiting = b""
        titles = iter(self.titles)
        for piece in pieces:
            waiting += piece
            while len(waiting) >= self.METAINT:
                text = f"StreamTitle='{title}';".encode() if (title := next(titles, None)) is not None else b""
                blocks = -(-len(text) // 16)
                yield waiting[: self.METAINT] + bytes([blocks]) + text.ljust(16 * blocks, b"\0")
                waiting = waiting[self.METAINT :]


def mp3_radio(samples: NDArray[np.float32], rate: int, **more: Any) -> Radio:
    return Radio(
        encoded(samples, rate, "mp3", "libmp3lame", write_xing="0", id3v2_version="0"), len(samples) / rate, **more
    )


@contextmanager
def http_server(answer: Any, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """`answer(handler)` for each GET, in a thread; or a Radio. Connections are cut when the block ends."""
    connections: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connections.append(self.connection)
            with contextlib.suppress(OSError):  # the listener has gone, or was cut off
                (answer.serve if isinstance(answer, Radio) else answer)(self)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # cut off

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}"
    finally:
        if isinstance(answer, Radio):
            answer.over.set()
        server.shutdown()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()


@dataclass
class Hls:
    """Segments of `segment_s` each: a live playlist has the newest three and grows in real time; a finished one all."""

    segments: list[bytes]
    segment_s: float
    live: bool
    began: float | None = None  # with the first question

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"/(\d+)\.ts", handler.path)
        body = self.segments[int(found[1])] if found else self.playlist()
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t" if found else "application/vnd.apple.mpegurl")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def playlist(self) -> bytes:
        self.began = self.began or time.monotonic()
        newest = int((time.monotonic() - self.began) / self.segment_s) + 3 if self.live else len(self.segments)
        newest = min(newest, len(self.segments))
        first = max(0, newest - 3) if self.live else 0
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{int(self.segment_s) or 1}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for number in range(first, newest):
            lines += [f"#EXTINF:{self.segment_s:.3f},", f"{number}.ts"]
        return "\n".join([*lines, *([] if self.live else ["#EXT-X-ENDLIST"]), ""]).encode()


@contextmanager
def rtsp_server(samples: NDArray[np.float32], rate: int, password: str | None = None) -> Iterator[str]:
    """An RTSP camera's sound: L16 in RTP, within the connection (RFC 2326, section 10.12), over and over in real time.

    With a password, user `camera` has to show it (Basic).
    """
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.02)
    port = listening.getsockname()[1]
    about = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 0 RTP/AVP 96"]
    sdp = "\r\n".join([*about, f"a=rtpmap:96 L16/{rate}/1", "a=control:a", ""])
    sound = np.round(samples * 32767).astype(">i2")

    def answer(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError), peer.makefile("rb") as lines:
            while request := b"".join(iter(lines.readline, b"\r\n")).decode():
                method = request.split()[0]
                number = re.search(r"CSeq: *(\d+)", request, re.I)
                head = f"RTSP/1.0 200 OK\r\nCSeq: {number[1] if number else 0}\r\nSession: 1\r\n"
                proof = base64.b64encode(f"camera:{password}".encode()).decode()
                if password is not None and proof not in request:
                    head = head.replace("200 OK", "401 Unauthorized") + 'WWW-Authenticate: Basic realm="x"\r\n'
                    peer.sendall(f"{head}\r\n".encode())
                elif method == "DESCRIBE":
                    head += f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
                    peer.sendall(f"{head}\r\n{sdp}".encode())
                elif method == "SETUP":
                    peer.sendall(f"{head}Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n".encode())
                else:
                    peer.sendall(f"{head}Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n".encode())
                if method == "PLAY" and "200" in head:
                    play(peer)

    def play(peer: socket.socket) -> None:
        size = rate // 50
        began, packet = time.monotonic(), 0
        while not over.wait(max(0.0, began + packet * 0.02 - time.monotonic())):
            at = packet * size % (len(sound) - size)
            rtp = struct.pack(">BBHII", 0x80, 96, packet & 0xFFFF, packet * size & 0xFFFFFFFF, 1)
            data = rtp + sound[at : at + size].tobytes()
            peer.sendall(struct.pack(">cBH", b"$", 0, len(data)) + data)
            packet += 1

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                peer = listening.accept()[0]
                peer.settimeout(None)
                peers.append(peer)
                threading.Thread(target=answer, args=(peer,), daemon=True).start()

    peers: list[socket.socket] = []
    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"rtsp://{'' if password is None else f'camera:{password}@'}127.0.0.1:{port}/hall"
    finally:
        over.set()
        thread.join()
        listening.close()
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)


class UdpSender:
    """MPEG-TS with MP2 sound to a port, in real time while the block lasts; after `drop(n)`, n datagrams are lost."""

    def __init__(self, samples: NDArray[np.float32], rate: int, port: int) -> None:
        sound = encoded(samples, rate, "mpegts", "mp2", pat_period="0.2")
        size = 7 * 188
        self._datagrams = [sound[at : at + size] for at in range(0, len(sound), size)]
        self._port = port
        self._dropping = 0
        self._over = threading.Event()
        self.each_s = len(samples) / rate / len(self._datagrams)

    def drop(self, count: int) -> None:
        self._dropping = count

    def __enter__(self) -> "UdpSender":
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        began = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number, datagram in enumerate(self._datagrams):
                if self._over.wait(max(0.0, began + number * self.each_s - time.monotonic())):
                    return
                if self._dropping:
                    self._dropping -= 1
                else:
                    sender.sendto(datagram, ("127.0.0.1", self._port))
