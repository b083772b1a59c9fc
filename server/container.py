"""Opens a stream or a file with FFmpeg and gives its decoded frames. Runs in the decoding process (`pull.py`) only.

What is read is hostile: which demuxers may look at it and which protocols they may use is named, HTTP goes through
`fetch.py`, which checks every address, and nothing on this machine's disk can be opened by a stream. Knows nothing of
records, pace or sessions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.error import EOFError as EndOfFile
from av.error import ExitError, FFmpegError, InvalidDataError

from server.devices import CaptureError
from server.fetch import Body, Unreachable, fetch
from server.reach import LISTENING, NotAllowed, Reach, host_of, scheme_of

OPEN_S = 10.0  # until a stream is open, each connection of it
READ_S = 10.0  # without a byte: it is lost
DAMAGED = 100  # packets in a row that cannot be decoded: it is not what it says
HTTP_BUFFER_BYTES = 4096  # waited for: 0.25 s of a radio of 128 kbit/s
PROBE_BYTES = "16384"  # after so much FFmpeg takes the best guess; otherwise an MP3 radio costs it 5 s
ANALYSED_US = "500000"  # of sound, before its form is known; without it, 5 s of a stream would pass
# What may look at a stream. Demuxers that open other things by name (concat, sdp) are not among them.
FORMATS = "hls,mpegts,mp3,aac,ogg,flac,wav,w64,aiff,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,rtsp,rtp,asf,ac3,eac3,au"
PROTOCOLS = {
    "http": "http,https,tcp,tls",  # names that an HLS playlist may have: io_open gets them all
    "https": "http,https,tcp,tls",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtp,udp,tcp,tls",
    "udp": "udp",
    "rtp": "rtp,udp",
}


TROUBLES = (NotAllowed, Unreachable, HTTPException, OSError, FFmpegError, ValueError)  # what streams may end with


@dataclass(frozen=True)
class Request:
    """What is asked for: a `url`, or the `path` of a file."""

    url: str = ""
    path: str = ""
    schemes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    channel: int | None = None  # which one is heard, from 0; None: the mean of all
    paced: bool = True  # a file, at the pace of its samples; or as fast as it is read
    loop: bool = False  # a file, over and over


class Opening:
    """An open stream or file: what it is, and its frames, once. Raises CaptureError."""

    def __init__(self, request: Request) -> None:
        self.title = ""  # of the song that a radio plays now
        self.name = ""  # of the radio
        self._body: Body | None = None  # what HTTP gave first
        try:
            if request.path:
                self.container = _file(request.path)
            elif scheme_of(request.url) in ("http", "https"):
                self.container = self._over_http(request.url, Reach(request.schemes, request.hosts))
            else:
                self.container = _over_ffmpeg(request.url, Reach(request.schemes, request.hosts))
        except TROUBLES as error:
            raise trouble(error) from error
        if not self.container.streams.audio:
            kinds = ", ".join(sorted({stream.type for stream in self.container.streams})) or "nothing"
            raise CaptureError("no_audio", f"there is no sound in it, only {kinds}")
        self.stream = self.container.streams.audio[0]
        ends = self.container.duration is not None
        if self._body is not None:
            self.name = self._body.name
            whole = self._body.length is not None and self.format != "hls"  # an HLS playlist has an end, the sound not
            ends = not self._body.radio and (ends or whole)
        self.finite = bool(request.path) or ends
        self.paced = request.paced if request.path else self.finite or self.format == "hls"

    @property
    def format(self) -> str:
        return self.container.format.name.partition(",")[0]

    def frames(self) -> Iterator[AudioFrame]:
        """Damaged packets are left out: the time stamps tell what is missing. Raises CaptureError."""
        damaged = 0
        try:
            for packet in self.container.demux(self.stream):
                try:
                    yield from packet.decode()
                    damaged = 0
                except InvalidDataError:
                    damaged += 1
                    if damaged > DAMAGED:
                        raise
        except EndOfFile:
            return
        except TROUBLES as error:
            raise trouble(error) from error

    def _over_http(self, url: str, reach: Reach) -> InputContainer:
        self._body = first = fetch(url, reach, OPEN_S, self._titled)
        waiting = [first]

        def io_open(wanted: str, flags: int, options: dict[str, str]) -> Body:
            """FFmpeg wants to read the stream, later perhaps its playlist again, or a segment."""
            return waiting.pop() if waiting and wanted == first.url else fetch(wanted, reach, READ_S)

        return av.open(
            first.url, io_open=io_open, buffer_size=HTTP_BUFFER_BYTES, options=_options("http", http_persistent="0")
        )

    def _titled(self, title: str) -> None:
        self.title = title


def _file(path: str) -> InputContainer:
    return av.open(open(path, "rb"), options=_options(""))


def _over_ffmpeg(url: str, reach: Reach) -> InputContainer:
    reach.check(url)
    scheme = scheme_of(url)
    if scheme not in LISTENING:
        reach.resolved(host_of(url), 0)
    # rtsp_transport: over TCP nothing is lost, and no other address can be named for the sound
    options = _options(scheme, rtsp_transport="tcp") if scheme.startswith("rtsp") else _options(scheme)
    return av.open(url, options=options, timeout=(OPEN_S, READ_S))


def _options(scheme: str, **more: str) -> dict[str, str]:
    shared = {"format_whitelist": FORMATS, "formatprobesize": PROBE_BYTES, "analyzeduration": ANALYSED_US}
    return {**shared, "protocol_whitelist": PROTOCOLS.get(scheme, ""), **more}


def trouble(error: Exception) -> CaptureError:
    """What was raised, in words without an address."""
    if isinstance(error, NotAllowed):
        return CaptureError("stream_not_allowed", str(error))
    if isinstance(error, Unreachable):
        return CaptureError("stream_unreachable", str(error))
    if isinstance(error, HTTPException):
        return CaptureError("stream_unreachable", "the connection was cut off")
    if isinstance(error, ExitError | TimeoutError):
        return CaptureError("stream_stalled", f"nothing came for {READ_S:.0f} s")
    if isinstance(error, InvalidDataError):
        return CaptureError("stream_undecodable", "what comes is no sound that can be decoded")
    told = getattr(error, "strerror", None)  # the error itself may have the address in its words
    return CaptureError("stream_unreachable", told.lower() if told else type(error).__name__)
