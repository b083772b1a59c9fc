"""Which instruments there are: label, family and NSynth family of each. Knows fine names; nothing of files or sound.

Three levels. An *instrument* is what a corpus names (`cor_anglais`); a *label* is one of the model's output neurons;
a *family* groups both. An instrument without a label is left out of training and of the figures: a cor anglais is
neither an example of `oboe` nor a counterexample. How a name may be spelled is in `spelling.py`.
"""

from models.data.spelling import coarse_of, instrument_of

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

# instruments that are examples of a label of another name
INSTRUMENTS: dict[str, str] = {
    "soprano_saxophone": "saxophone",
    "alto_saxophone": "saxophone",
    "tenor_saxophone": "saxophone",
    "baritone_saxophone": "saxophone",
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

# instruments that no label stands for, and their families
UNLABELLED: dict[str, str] = {
    "string_section": "bowed_strings",
    "viola_da_gamba": "bowed_strings",
    "piccolo": "woodwind",
    "alto_flute": "woodwind",
    "recorder": "woodwind",
    "cor_anglais": "woodwind",
    "bass_clarinet": "woodwind",
    "contrabassoon": "woodwind",
    "cornet": "brass",
    "flugelhorn": "brass",
    "euphonium": "brass",
    "didgeridoo": "brass",
    "mandolin": "plucked_strings",
    "ukulele": "plucked_strings",
    "lute": "plucked_strings",
    "kankles": "plucked_strings",
    "sitar": "plucked_strings",
    "koto": "plucked_strings",
    "electric_piano": "keyboard",
    "celesta": "keyboard",
    "harmonium": "keyboard",
    "accordion": "keyboard",
    "steel_drum": "mallets",
    "kalimba": "mallets",
    "tubular_bells": "mallets",
    "timpani": "drums",
    "percussion": "percussion",
    "tambourine": "percussion",
    "triangle": "percussion",
    "harmonica": "woodwind",
    "synth_lead": "synth",
}

# sounds during which every label is off; `voice` means singing
NEGATIVES = ("noise", "speech", "silence")

# NSynth's family of a label or instrument; what is missing (banjo, harp, mandolin, drums ...) has none
NSYNTH: dict[str, str] = {
    **dict.fromkeys(("violin", "viola", "cello", "double_bass", "string_section"), "string"),
    **dict.fromkeys(("oboe", "clarinet", "bassoon", "saxophone", "cor_anglais", "bass_clarinet"), "reed"),
    **dict.fromkeys(("contrabassoon", "accordion", "harmonica", "harmonium"), "reed"),
    **dict.fromkeys(("flute", "piccolo", "alto_flute", "recorder"), "flute"),
    **dict.fromkeys(("trumpet", "french_horn", "trombone", "tuba", "cornet", "flugelhorn", "euphonium"), "brass"),
    **dict.fromkeys(("guitar_acoustic", "guitar_electric"), "guitar"),
    **dict.fromkeys(("piano", "harpsichord", "electric_piano"), "keyboard"),
    **dict.fromkeys(("mallets", "celesta", "tubular_bells", "kalimba", "steel_drum"), "mallet"),
    "bass_guitar": "bass",
    "organ": "organ",
    "voice": "vocal",
    "synth_lead": "synth_lead",
}


def label_of(name: str) -> str | None:
    """The label of an instrument however it is spelled, a negative's own name, or None for what is left out."""
    instrument = instrument_of(name)
    if instrument is None:
        return None
    label = INSTRUMENTS.get(instrument, instrument)
    return label if label in LABELS or label in NEGATIVES else None


def labels_of(name: str) -> tuple[str, ...]:
    """Every label that a name may mean: one for `cello`, two for `guitar`, a family's for `strings`, none for what
    is left out or unknown. Negatives mean themselves."""
    label = label_of(name)
    return (label,) if label else coarse_of(name)


def family_of(name: str) -> str | None:
    """The family of a label, of an instrument, labelled or not, or that of all that a coarse name means; or None."""
    instrument = instrument_of(name) or ""
    label = INSTRUMENTS.get(instrument, instrument)
    common = {LABELS[label] for label in coarse_of(name)}
    return LABELS.get(label) or UNLABELLED.get(instrument) or (common.pop() if len(common) == 1 else None)


def nsynth_family_of(name: str) -> str | None:
    """NSynth's name for the family, None where NSynth has none."""
    instrument = instrument_of(name) or ""
    return NSYNTH.get(instrument) or NSYNTH.get(INSTRUMENTS.get(instrument, ""))
