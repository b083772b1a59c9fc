"""A backend of mido's own kind without a device: what was sent to each port. `mido.Backend("tests.fake_midi")`."""

from typing import Any

ports: dict[str, list[Any]] = {}  # messages, by port
closed: list[str] = []
existing = ["Synth:in 20:0", "Drums:in 21:0", "Drums:in 21:1"]


class Output:
    def __init__(self, name: str, virtual: bool = False, **_: Any) -> None:
        if name == "busy":
            raise OSError("the port is taken")
        assert virtual or name in existing, name
        self.name = name
        ports[name] = []

    def send(self, message: Any) -> None:
        ports[self.name].append(message)

    def close(self) -> None:
        closed.append(self.name)


def get_devices(**_: Any) -> list[dict[str, Any]]:
    return [{"name": name, "is_input": False, "is_output": True} for name in existing]
