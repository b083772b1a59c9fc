"""Labelled intervals in the forms of other programs: Audacity labels, JAMS, layers of Sonic Visualiser.

Written piece by piece, so that a long history never is one string. Times are seconds to the microsecond. Sources:
Audacity's manual (label tracks), the JAMS schema 0.3 (Humphrey et al. 2014), Sonic Visualiser's own layer files.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from server.version import VERSION

FRAME_HZ = 48_000  # the grid of a layer whose sound has no rate: 0.02 ms
NOT_XML = {code: " " for code in (*range(32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000))}  # no XML document may hold them


@dataclass(frozen=True)
class Interval:
    start_s: float
    end_s: float
    label: str
    confidence: float


def audacity(intervals: Iterable[Interval]) -> Iterator[str]:
    """For File > Import > Labels: start, end and label, with tabs between."""
    for one in intervals:
        yield f"{one.start_s:.6f}\t{one.end_s:.6f}\t{' '.join(one.label.split())}\n"


def jams(intervals: Iterable[Interval], title: str, model: str | None, duration_s: float = 0.0) -> Iterator[str]:
    """One annotation of the namespace `tag_open`: what sounds, from when to when. It lasts at least as long as they."""
    metadata = {
        "curator": {"name": "", "email": ""},
        "annotator": {} if model is None else {"model": model},
        "version": "",
        "corpus": "",
        "annotation_tools": f"Spiccato {VERSION}",
        "annotation_rules": "",
        "validation": "",
        "data_source": "program",
    }
    yield f'{{"annotations": [{{"annotation_metadata": {json.dumps(metadata)}, "namespace": "tag_open", "data": ['
    before = ""
    for one in intervals:
        observation = {
            "time": round(one.start_s, 6),
            "duration": round(one.end_s - one.start_s, 6),
            "value": one.label,
            "confidence": one.confidence,
        }
        yield f"{before}{json.dumps(observation)}"
        before = ", "
        duration_s = max(duration_s, round(one.end_s, 6))
    file = {
        "title": title,
        "artist": "",
        "release": "",
        "duration": duration_s,
        "identifiers": {},
        "jams_version": "0.3.5",
    }
    yield f'], "sandbox": {{}}, "time": 0, "duration": {json.dumps(duration_s)}}}], '
    yield f'"file_metadata": {json.dumps(file)}, "sandbox": {{}}}}'


def svl(intervals: Iterable[Interval], title: str, rate_hz: int = FRAME_HZ) -> Iterator[str]:
    """For File > Import Annotation Layer: a layer of regions, each as high as its confidence."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>\n<sv>\n<data>\n'
    yield (
        f'<model id="1" name={_quoted(title)} sampleRate="{rate_hz}" type="sparse" dimensions="3" resolution="1" '
        'notifyOnAdd="true" dataset="0" subtype="region" valueQuantization="0" minimum="0" maximum="1"/>\n'
    )
    yield '<dataset id="0" dimensions="3">\n'
    for one in intervals:
        frame = round(one.start_s * rate_hz)
        length = round(one.end_s * rate_hz) - frame
        label = _quoted(one.label)
        yield f'<point frame="{frame}" value="{one.confidence:.6f}" duration="{length}" label={label}/>\n'
    yield '</dataset>\n</data>\n<display>\n<layer id="2" type="regions" name="Regions" model="1" verticalScale="1"/>\n'
    yield "</display>\n</sv>\n"


def _quoted(text: str) -> str:
    return quoteattr(text.translate(NOT_XML))
