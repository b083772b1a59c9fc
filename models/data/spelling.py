"""How people write the names of instruments: "French Horn", "Sax (alto) 2", "Violoncelli", "cor anglais".

A name is read as a set of words, so order, case, accents, hyphens, numbers, plurals and the key of a transposing
instrument do not matter. A name with a word too many is unknown: "bass flute" is no flute. Knows words, not labels.
"""

import re
import unicodedata
from functools import cache

# fine name -> other ways to write it, without plurals and word order
SPELLINGS: dict[str, str] = {
    "violin": "violino, violine, violini, violon, fiddle, geige",
    "viola": "bratsche, viole",
    "cello": "violoncello, violoncelle, violoncelli, celli, vc",
    "double_bass": "contrabass, doublebass, kontrabass, contrebasse, contrabbasso, contrabassi, string bass, "
    "upright bass, acoustic bass",
    "string_section": "string ensemble, string orchestra",
    "viola_da_gamba": "viol, gamba",
    "flute": "flauto, flauti, floete, flote, querfloete, querflote, traverso, concert flute",
    "alto_flute": "",
    "piccolo": "piccolo flute, ottavino",
    "recorder": "blockfloete, blockflote",
    "oboe": "hautbois, hoboe",
    "cor_anglais": "english horn, corno inglese, englischhorn",
    "clarinet": "klarinette, clarinette, clarinetto, clarinetti",
    "bass_clarinet": "bassklarinette, clarinette basse, clarone",
    "bassoon": "fagott, fagotto, fagotti, basson",
    "contrabassoon": "double bassoon, kontrafagott, controfagotto, contrebasson",
    "saxophone": "sax, saxofon, saxophon",
    "soprano_saxophone": "soprano sax",
    "alto_saxophone": "alto sax",
    "tenor_saxophone": "tenor sax",
    "baritone_saxophone": "baritone sax, bari sax",
    "harmonica": "mouth organ",
    "trumpet": "trompete, trompette, tromba, trombe",
    "cornet": "kornett",
    "flugelhorn": "",
    "french_horn": "horn, waldhorn, corno, corni, cor",
    "trombone": "posaune, tromboni",
    "tuba": "bass tuba, basstuba",
    "euphonium": "",
    "didgeridoo": "",
    "guitar_acoustic": "classical guitar, nylon guitar, nylon string guitar, steel string guitar, spanish guitar",
    "guitar_electric": "electronic guitar, e guitar, clean electric guitar, distorted electric guitar",
    "bass_guitar": "electric bass, e bass, fretless bass, electric bass guitar, slap bass",
    "harp": "harfe, harpe, arpa, concert harp",
    "banjo": "",
    "mandolin": "mandoline, mandolino",
    "ukulele": "ukelele",
    "lute": "laute, luth, liuto",
    "kankles": "",
    "sitar": "",
    "koto": "",
    "piano": "pianoforte, klavier, grand piano, acoustic piano, fortepiano, acoustic grand piano, upright piano",
    "electric_piano": "e piano, rhodes, wurlitzer",
    "celesta": "celeste",
    "organ": "orgel, orgue, organo, pipe organ, church organ, hammond organ, electric organ, reed organ",
    "harmonium": "",
    "accordion": "akkordeon, accordeon",
    "harpsichord": "cembalo, clavecin, clavicembalo",
    "mallets": "mallet, mallet percussion",
    "marimba": "",
    "vibraphone": "vibes",
    "xylophone": "xylofon",
    "glockenspiel": "",
    "steel_drum": "steel pan, steelpan",
    "kalimba": "mbira",
    "tubular_bells": "",
    "drums": "drum, drum kit, drumkit, drum set, drumset, schlagzeug, batterie",
    "bass_drum": "kick, kick drum, grosse trommel",
    "snare_drum": "snare, side drum",
    "tom": "tom tom, tomtom, floor tom, tenor drum",
    "hi_hat": "hihat",
    "cymbal": "crash cymbal, ride cymbal, splash cymbal, clash cymbal, suspended cymbal, chinese cymbal, sizzle cymbal",
    "timpani": "kettledrum, pauken, timpano",
    "percussion": "",
    "tambourine": "",
    "triangle": "",
    "voice": "vocal, singing, singer, gesang, voix, voce, lead vocal, soprano voice, "
    "alto voice, tenor voice, bass voice",
    "choir": "chorus, chor, choeur, coro",
    "synth_lead": "synth, synthesizer, synthesiser, lead synth",
    "noise": "background, background noise, ambient, ambience, room tone, environment, no instrument, none, "
    "other noise",
    "speech": "speaking, talking, talk, spoken, spoken voice, speaker",
    "silence": "silent, quiet",
}  # fmt: skip

# a name that covers several labels
COARSE: dict[str, tuple[str, ...]] = {
    "guitar": ("guitar_acoustic", "guitar_electric"),
    "bass": ("double_bass", "bass_guitar"),
    "string": ("violin", "viola", "cello", "double_bass"),
    "bowed string": ("violin", "viola", "cello", "double_bass"),
    "plucked string": ("guitar_acoustic", "guitar_electric", "bass_guitar", "harp", "banjo"),
    "reed": ("oboe", "clarinet", "bassoon", "saxophone"),
    "woodwind": ("flute", "oboe", "clarinet", "bassoon", "saxophone"),
    "brass": ("trumpet", "french_horn", "trombone", "tuba"),
    "keyboard": ("piano", "organ", "harpsichord"),
}

# words that say nothing about which instrument it is: the player's role and desk, the key it stands in
FILLERS = frozenset(
    {"in", "of", "the", "solo", "part", "first", "second", "third", "st", "nd", "rd", "th", "i", "ii", "iii", "iv", "v"}
)
KEYS = frozenset({"a", "b", "bb", "c", "d", "e", "eb", "es", "f", "g", "ab", "bes", "flat", "sharp"})


def instrument_of(name: str) -> str | None:
    """The fine name, or None for a name that is unknown."""
    words = _words(name)
    table = _table()
    for tried in (words, words - FILLERS, words - FILLERS - KEYS):
        if tried in table:
            return table[tried]
    return None


def coarse_of(name: str) -> tuple[str, ...]:
    """The labels that a coarse name covers, empty where it is not one. NSynth says `brass_acoustic`."""
    words = _words(name) - FILLERS - {"acoustic"}
    return next((labels for coarse, labels in COARSE.items() if _words(coarse) == words), ())


def _words(name: str) -> frozenset[str]:
    """Lower-case words without accents, digits and plural s."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return frozenset(
        re.sub(r"(?<=ss)es$|(?<=[^s]{3})s$|(?<=[^s]{2}e)s$", "", word) for word in re.findall(r"[a-z]+", plain)
    )


@cache
def _table() -> dict[frozenset[str], str]:
    table: dict[frozenset[str], str] = {}
    for fine, others in SPELLINGS.items():
        for spelling in (fine, *others.split(", ")):
            if spelling:
                table[_words(spelling)] = fine
    return table
