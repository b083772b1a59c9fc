"""Which instruments a manifest names, and which label each belongs to. Knows names; nothing of files or sound.

An instrument that is in neither table is left out of training and of the figures: a cor anglais is neither an
example of `oboe` nor a counterexample.
"""

# label -> family, in the order of the output neurons
LABELS: dict[str, str] = {
    "violin": "bowed_strings",
    "viola": "bowed_strings",
    "cello": "bowed_strings",
    "double_bass": "bowed_strings",
    "flute": "woodwind",
    "oboe": "woodwind",
    "clarinet": "woodwind",
    "bassoon": "woodwind",
    "saxophone": "woodwind",
    "trumpet": "brass",
    "french_horn": "brass",
    "trombone": "brass",
    "tuba": "brass",
    "guitar_acoustic": "plucked_strings",
    "guitar_electric": "plucked_strings",
    "bass_guitar": "plucked_strings",
    "harp": "plucked_strings",
    "banjo": "plucked_strings",
    "piano": "keyboard",
    "organ": "keyboard",
    "harpsichord": "keyboard",
    "mallets": "mallets",
    "drums": "drums",
    "voice": "voice",
}

# names in a manifest that differ from their label
INSTRUMENTS: dict[str, str] = {
    "marimba": "mallets",
    "vibraphone": "mallets",
    "xylophone": "mallets",
    "glockenspiel": "mallets",
    "bass_drum": "drums",
    "snare_drum": "drums",
    "tom": "drums",
    "hi_hat": "drums",
    "cymbal": "drums",
    "choir": "voice",
}

# sounds during which every label is off; `voice` means singing
NEGATIVES = ("noise", "speech")


def label_of(instrument: str) -> str | None:
    """The label of a manifest's instrument, a negative's own name, or None for what is left out."""
    name = INSTRUMENTS.get(instrument, instrument)
    return name if name in LABELS or name in NEGATIVES else None
