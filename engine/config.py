"""What the front end is made of, checked once. Knows numbers and their limits; computes nothing.

The values belong to a model: its weights were learned from features made with them, so they travel in its file.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Samples to spikes: frames, bands, shared gain and cochlea. Every field is stored in the model's file."""

    sample_rate_hz: int = 16_000
    frame_samples: int = 512  # a power of two
    hop_samples: int = 160  # 10 ms
    bands: int = 64
    low_hz: float = 50.0
    high_hz: float = 8_000.0
    gain_release_s: float = 0.2  # time constant of the one gain that all bands share
    gate_dbfs: float = -70.0  # below this level the gain no longer follows, so hiss stays hiss
    inhibition: float = 0.5  # share of the neighbours' mean that a band loses; 0 is none
    inhibition_reach: int = 3  # bands on each side
    fibre_gains: tuple[float, ...] = (1.0,)  # one cochlea neuron for each band and gain
    change_gain: float = 0.0  # of the fibres that hear a band rise or fall from one frame to the next; 0: none
    cochlea_beta: float = 0.0  # decay of a cochlea neuron in one hop; 0: derived from hearing, see cochlea.py
    fine_samples: int = 0  # frame of a second look, longer and so finer in frequency; 0: none
    fine_hops: int = 4  # hops between two of its frames
    fine_bands: int = 128
    fine_gains: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fibre_gains", tuple(float(gain) for gain in self.fibre_gains))
        object.__setattr__(self, "fine_gains", tuple(float(gain) for gain in self.fine_gains))
        for name in (
            "sample_rate_hz", "frame_samples", "hop_samples", "bands", "inhibition_reach",
            "fine_samples", "fine_hops", "fine_bands",
        ):  # fmt: skip
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name}={getattr(self, name)!r} is not a whole number")
        if not 8_000 <= self.sample_rate_hz <= 96_000:
            raise ValueError(f"sample_rate_hz={self.sample_rate_hz} is outside 8000..96000")
        if self.frame_samples not in (512, 1024, 2048, 4096):
            raise ValueError(f"frame_samples={self.frame_samples} is not one of 512, 1024, 2048, 4096")
        if not 16 <= self.hop_samples <= self.frame_samples:
            raise ValueError(f"hop_samples={self.hop_samples} is outside 16..frame_samples={self.frame_samples}")
        if not 8 <= self.bands <= 256:
            raise ValueError(f"bands={self.bands} is outside 8..256")
        if not 0 < self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"low_hz={self.low_hz}, high_hz={self.high_hz}: needs 0 < low < high <= {self.sample_rate_hz / 2} Hz"
            )
        if not 0.001 <= self.gain_release_s <= 60:
            raise ValueError(f"gain_release_s={self.gain_release_s} is outside 0.001..60")
        if not -120 <= self.gate_dbfs <= 0:
            raise ValueError(f"gate_dbfs={self.gate_dbfs} is outside -120..0")
        if not 0 <= self.inhibition < 1:
            raise ValueError(f"inhibition={self.inhibition} is outside 0..1 (1 excluded)")
        if not 1 <= self.inhibition_reach <= 16:
            raise ValueError(f"inhibition_reach={self.inhibition_reach} is outside 1..16")
        if not 1 <= len(self.fibre_gains) <= 8 or not all(0 < gain <= 100 for gain in self.fibre_gains):
            raise ValueError(f"fibre_gains={self.fibre_gains}: needs one to eight numbers within 0..100 (0 excluded)")
        if not 0 <= self.change_gain <= 100:
            raise ValueError(f"change_gain={self.change_gain} is outside 0..100")
        if not 0 <= self.cochlea_beta < 1:
            raise ValueError(f"cochlea_beta={self.cochlea_beta} is outside 0..1 (1 excluded)")
        if self.fine_samples and self.fine_samples <= self.frame_samples:
            raise ValueError(f"fine_samples={self.fine_samples} is not more than frame_samples={self.frame_samples}")
        if not 1 <= self.fine_hops <= 16:
            raise ValueError(f"fine_hops={self.fine_hops} is outside 1..16")
        try:
            _ = self.fine
        except ValueError as error:
            raise ValueError(f"the fine look: {error}") from error

    @property
    def fine(self) -> "FrontEnd | None":
        """The second look as a front end of its own, with the rest of this one's settings."""
        if not self.fine_samples:
            return None
        return replace(
            self,
            frame_samples=self.fine_samples,
            hop_samples=self.hop_samples * self.fine_hops,
            bands=self.fine_bands,
            fibre_gains=self.fine_gains,
            cochlea_beta=0.0,
            fine_samples=0,
        )

    @property
    def fibres(self) -> int:
        """Cochlea neurons. Neuron `f * bands + b` has gain `f` and listens to band `b`; with a change gain, a row of
        neurons that hear their band rise and one that hear it fall come after them. Those of the fine look come last,
        in the same order; they spike only in its frames.
        """
        own = self.bands * (len(self.fibre_gains) + (2 if self.change_gain else 0))
        return own + (self.fine.fibres if self.fine else 0)

    @property
    def hop_s(self) -> float:
        return self.hop_samples / self.sample_rate_hz

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises ValueError naming a field that this version does not know: its meaning would be lost."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"front end has unknown fields {unknown}")
        return cls(**values)
