"""What can be asked of an output: each kind with its settings, their defaults and limits, and the rule that they share.

Knows no network and no model: whether a label exists is checked in `check.py`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from server.outputs.template import checked
from server.secret import Secret

Name = Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,64}$")]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\s/]+$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule(Part):
    """Which events an output gets. What is left out lets everything pass."""

    labels: tuple[str, ...] | None = Field(default=None, min_length=1, description="only these labels")
    families: tuple[str, ...] | None = Field(default=None, min_length=1, description="only labels of these families")
    sources: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="only these sources; * stands for any characters"
    )
    min_score: float = Field(default=0.0, ge=0, lt=1, description="only once the label's score has reached this")
    min_duration_s: float = Field(
        default=0.0, ge=0, le=3_600, description="only once the label has been on for so long"
    )
    cooldown_s: float = Field(
        default=0.0, ge=0, le=86_400, description="then not again for so long, of the same label and source"
    )
    on: Literal["both", "onset", "offset"] = Field(default="both", description="begins, ends, or both")


class Common(Part):
    name: Name | None = Field(default=None, description="what it is called; without one, its kind")
    rule: Rule = Rule()
    queue: int = Field(default=1_000, ge=1, le=100_000, description="events that may wait; then the oldest are dropped")


class _Stateful(Common):
    @model_validator(mode="after")
    def _both(self) -> "_Stateful":
        if self.rule.on != "both":
            raise ValueError(f"rule.on={self.rule.on!r}: this output tells what is on now, and needs onset and offset")
        return self


def _topic(topic: str) -> str:
    if topic.startswith(("/", "$")) or topic.endswith("/") or set("+#\0") & set(topic):
        raise ValueError("a topic has no + or #, begins with neither / nor $ and does not end with /")
    return topic


Topic = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_topic)]


class Mqtt(_Stateful):
    """A topic for each source and label at an MQTT broker, and Home Assistant's discovery."""

    kind: Literal["mqtt"]
    host: Host
    port: Port | None = Field(default=None, description="without one, 1883, or 8883 with TLS")
    user: str | None = None
    password: Secret | None = None
    tls: bool = False
    ca_file: Path | None = Field(default=None, description="certificates to believe (PEM); without it, the system's")
    cert_file: Path | None = Field(default=None, description="our certificate (PEM), where the broker asks for one")
    key_file: Path | None = Field(default=None, description="its private key (PEM)")
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    topic: Topic = Field(default="spiccato", description="what all topics begin with")
    qos: Literal[0, 1, 2] = 1
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="after 1.5 times this the broker tells our loss")
    home_assistant: bool = Field(default=False, description="make Home Assistant discover every label")
    discovery_topic: Topic = Field(default="homeassistant", description="where Home Assistant listens for discovery")

    @model_validator(mode="after")
    def _together(self) -> "Mqtt":
        if self.password is not None and self.user is None:
            raise ValueError("a password needs a user")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need tls = true")
        return self


Body = Annotated[str | dict[str, Any], AfterValidator(checked)]


class Webhook(Common):
    """A POST for each event, tried again until it is taken."""

    kind: Literal["webhook"]
    url: Secret
    headers: dict[str, Secret] = Field(default_factory=dict)
    body: Body | None = Field(
        default=None, description="with $label and other fields of the event; without it, the event as JSON"
    )
    secret: Secret | None = Field(default=None, description="signs each request, as in standardwebhooks.com")
    ca_file: Path | None = Field(default=None, description="certificates to believe (PEM); without it, the system's")
    timeout_s: float = Field(default=10.0, gt=0, le=300)
    attempts: int = Field(default=8, ge=1, le=100, description="then the event is given up, and that is told")
    dead_letters: Path | None = Field(default=None, description="a file for events given up, a line of JSON each")


class Osc(Common):
    """An OSC message when a label begins or ends."""

    kind: Literal["osc"]
    host: Host = "127.0.0.1"
    port: Port
    prefix: Annotated[str, StringConstraints(pattern=r"^(/[\w.-]+)*$", max_length=200)] = "/spiccato"
    evidence_hz: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="how often each label's score is sent, of the server's own sources; 0: never",
    )


Seven = Annotated[int, Field(ge=0, le=127)]


class Midi(_Stateful):
    """A note or a controller for each label."""

    kind: Literal["midi"]
    port: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "Spiccato"
    virtual: bool = Field(default=True, description="make the port; false: use one that exists")
    channel: int = Field(default=1, ge=1, le=16)
    send: Literal["note", "controller"] = "note"
    first: Seven = Field(default=36, description="number of the first label of the model; the next has the next number")
    numbers: dict[str, Seven] = Field(default_factory=dict, description="a number for a label")
    velocity: int | None = Field(default=None, ge=1, le=127, description="without it, the score times 127")


class Command(Common):
    """A program of this machine for each event, with the event as JSON on standard input. Never a shell."""

    kind: Literal["command"]
    run: tuple[Annotated[str, StringConstraints(max_length=4_096)], ...] = Field(
        min_length=1, max_length=100, description="the program and its arguments"
    )
    timeout_s: float = Field(default=30.0, gt=0, le=3_600, description="then it is ended")
    at_once: int = Field(default=4, ge=1, le=64, description="how many may run at once")


Output = Annotated[Mqtt | Webhook | Osc | Midi | Command, Field(discriminator="kind")]
