"""The model card, written from a model file and nothing else: every figure in it is in the file. Knows Markdown."""

from pathlib import Path
from typing import Any

from engine.config import FrontEnd
from engine.weights import Model, load
from models.evaluation.operations import activation_sparsity, connection_sparsity, footprint_bytes

COMMAND = "spiccato train --data DIR --seed {seed} --out {name}.safetensors"
FOR_USE = " --twin TWIN.safetensors"

CREDITS = {
    "philharmonia": "Philharmonia Orchestra sound samples",
    "karoryfer_guitars": "Karoryfer Samples; Martin HD28 by J. Learman",
    "karoryfer_bassguitars": "Karoryfer Samples",
    "karoryfer_doublebass": "D. Smolken / Karoryfer Samples",
    "karoryfer_sax_tuba": "Karoryfer Samples",
    "pianos": "AKAI Splendid Grand; Headroom Piano, B. Nilsson; Salamander Grand, A. Holm",
    "mtg_solosax": "MTG, Universitat Pompeu Fabra, SFZ edition by kinwie",
    "ixox_flute": "X. Hosxe",
    "huberorgan": "Huber organ samples",
    "gtown_church": "G-Town Church Sampling Project, T. Marberger",
    "mallets": "L. Terkelsen",
    "drumkits": "L. Muldjord, S. Greene, Karoryfer Samples, Real Music Media",
    "mir1k": "MIR-1K, C.-L. Hsu and J.-S. R. Jang",
    "everythingisremixed": "Software-Entwicklungskit",
    "olpc_berklee_noise": "OLPC / Berklee sound library",
    "wakeword_speech": "Picovoice wake-word benchmark",
    "chromemusiclab": "Chrome Music Lab",
    "lmms": "LMMS",
    "scratch": "Scratch",
    "tamtam": "TamTam",
    "soundfont:FluidR3_GM": "Fluid R3 GM, F. Wen",
    "soundfont:TimGM6mb": "TimGM6mb, T. Brechbill",
    "soundfont:MuseScore_General_Full": "MuseScore General, S. C. Collins, M. Cowgill, F. Wen",
    "speech_commands_bg": "Speech Commands, P. Warden, Google; felixchenfy",
}


def card(path: Path) -> str:
    """The card of the model file at `path`, as Markdown. Raises ModelError if the file cannot be used."""
    model = load(path)
    trained = model.trained
    figures, recipe, data = trained["figures"], trained["recipe"], trained["data"]
    front = model.front_end
    layers = "-".join([str(front.fibres), *(str(layer.weight.shape[1]) for layer in model.layers)])
    weights = sum(layer.weight.size for layer in model.layers)
    false = figures["false_onsets"]
    command = COMMAND.format(seed=recipe["seed"], name=model.name)
    if "twin" in trained:
        command = f"{command.replace(model.name, 'TWIN')}`, then `{command}{FOR_USE}"
    sections = [
        f"# {model.name} {model.version}",
        f"A spiking network that names {len(model.labels)} instruments, live. Written from the model file by"
        " `models/card.py`: every figure here is in the file.",
        _table(
            ("", ""),
            [
                ("file", f"`{path.name}`, {path.stat().st_size} bytes"),
                ("SHA-256", f"`{model.sha256}`"),
                ("labels", ", ".join(f"`{label}`" for label in model.labels)),
                (
                    "network",
                    f"{layers} LIF neurons, {weights} int8 weights, snntorch semantics, output beta"
                    f" {recipe['output_beta']}",
                ),
                (
                    "front end",
                    f"{front.sample_rate_hz} Hz, frames of {front.frame_samples}, hop"
                    f" {front.hop_samples}, {front.bands} bands, fibre gains {list(front.fibre_gains)}{_fine(front)}",
                ),
                ("licence", "Apache-2.0 (the weights; the recordings are not shipped)"),
            ],
        ),
        "## What it is worth",
        *_of_twin(trained.get("twin")),
        f"Measured through the engine on {figures['clips']} clips of libraries, or where an instrument has only one"
        " library of physical instruments, that the network did not learn from and that set no threshold. Balanced"
        " accuracy: the mean over the labels of the share of clips whose label has the greatest mean score since the"
        f" note's onset; guessing gives {100 / len(model.labels):.1f} %.",
        _table(
            ("since onset", "balanced accuracy"),
            [(f"{ms} ms", f"{value} %") for ms, value in _by_number(figures["balanced_accuracy"])],
        ),
        "The same after 1 s at other levels and in white noise:",
        _table(
            ("condition", "balanced accuracy"),
            [(name, f"{value} %") for name, value in _by_number(figures["balanced_accuracy_level"])]
            + [(f"{name} SNR", f"{value} %") for name, value in _by_number(figures["balanced_accuracy_white_noise"])],
        ),
        "Events, with the file's thresholds, every instrument equally frequent:",
        _table(
            ("figure", "value"),
            [
                ("macro recall of events", f"{figures['macro_recall_events']} %"),
                ("macro F1 of events", f"{figures['macro_f1_events']} %"),
                ("note's onset to its label's onset event", _spread(figures["onset_latency_ms"])),
                ("end of sound to offset event", _spread(figures["release_ms"])),
                (
                    "false onsets on speech and noise",
                    f"{false['onsets']} in {false['hours']} h: {false['per_hour_and_label']} an hour for each label",
                ),
            ],
        ),
        *_calibration(trained.get("calibration"), "twin" in trained),
        *_further(model, figures.get("further")),
        "False onsets by label: " + (", ".join(f"{k} {v}" for k, v in false["labels"].items()) or "none") + ".",
        "### Each label",
        _table(
            ("label", "clips", "accuracy, 1 s", "recall", "precision", "F1", "on", "off", "answered as"),
            [
                (
                    label,
                    *(row[key] for key in ("clips", "accuracy", "recall", "precision", "f1")),
                    model.on[model.labels.index(label)],
                    model.off[model.labels.index(label)],
                    ", ".join(f"{name} {count}" for name, count in _most(figures["confusion"][label])[:3]),
                )
                for label in model.labels
                if (row := figures["labels"].get(label))
            ],
        ),
        "### Each library",
        _table(
            ("library", "clips", "labels", "balanced accuracy, 1 s"),
            [
                (name, row["clips"], row["labels"], f"{row['balanced_accuracy']} %")
                for name, row in figures["libraries"].items()
            ],
        ),
        "## How it was made",
        f"Reproduce: `{command}`, with the folder of recordings that"
        " `docs/models.md` describes and the Debian packages fluidsynth, fluid-soundfont-gm, timgm6mb-soundfont and"
        " musescore-general-soundfont. The same data, seed, library versions and kind of CPU give the same bytes.",
        _table(("setting", "value"), [(key, f"`{value}`") for key, value in sorted(recipe.items())]),
        "The split is in `models/data/split.py`. Clips:",
        _table(
            ("part", "clips", "libraries"),
            [
                (part, data[part]["clips"], ", ".join(f"{k} {v}" for k, v in data[part]["libraries"].items()))
                for part in ("train", "calibrate", "report")
            ],
        ),
        "Learned from:",
        _table(
            ("library", "credit", "licence"),
            [(name, CREDITS.get(name, ""), "; ".join(rows)) for name, rows in data["licences"].items()],
        ),
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _of_twin(twin: dict[str, str] | None) -> list[str]:
    if twin is None:
        return []
    return [
        f"**The figures are those of its twin**, {twin['name']} {twin['version']} (SHA-256 `{twin['sha256']}`), with"
        " that file's thresholds: the same recipe and seed, without the clips that judge. Once they had judged it, this"
        " model was trained with them as well, for use: more real libraries are what helps with others. By how much, no"
        " sound is left here to tell; judge it on recordings of your own."
    ]


def _fine(front: FrontEnd) -> str:
    if not front.fine_samples:
        return ""
    return (
        f"; each {front.fine_hops} hops a frame of {front.fine_samples}, {front.fine_bands} bands, fibre gains"
        f" {list(front.fine_gains)}"
    )


SAME_ROOMS = ", and most of these clips share a room with some that it learned from"

LIMITS = """\
* It is wrong often, above all between neighbours of one family. Read the table of labels before
  trusting one of them.
* Learned from single notes, short lines and mixtures of two made from notes; judged on single notes. It has heard
  hardly any real phrases, ensembles or recordings of a room.
* Thresholds come from the `calibrate` half of the validation clips, the figures from the `report` half. The halves
  are divided by physical instrument; where one instrument is more than half of a label's clips, by clip. Choices of
  design were guided by both halves, so the figures flatter by a little.
* `bass_guitar`, speech: one library each; other physical instruments and speakers of it validate. `viola`, `oboe`,
  `double_bass` and `saxophone` are judged on few clips: differences of ten points there mean nothing.
* GeneralUser GS (`waf_generalusergs`, validation) and MuseScore General (training) are by one author. What was found
  in both (a cello, and an oboe of TimGM6mb) is left out of training; the table of libraries shows the others.
* Mixtures are its weak side: of what sounds in a second of two to four instruments it names about a quarter
  (`docs/models.md`).
* `voice` is singing. Speech is trained to be no label. Cor anglais, bass clarinet, contrabassoon, mandolin, electric
  piano, timpani and other percussion belong to no label and were left out.
* Below about -70 dBFS the engine's gate keeps the gain; quieter sounds are not heard."""


def _calibration(told: dict[str, Any] | None, for_use: bool) -> list[str]:
    """What each budget of false onsets would buy; models before 1.1 do not tell."""
    if told is None:
        return []
    chosen = told["chosen"]
    return [
        "### Thresholds",
        f"Set on {told['clips']} clips and {told['hours_of_noise_and_speech']} h of noise and speech of the calibration"
        " half, to the budget in bold; the table is of those same clips, so it flatters, the more the lower the budget"
        f"{SAME_ROOMS if for_use else ''}."
        " `spiccato calibrate` sets another.",
        _table(
            ("budget an hour and label", "false onsets", "recall", "precision", "F1", "labels that never turn on"),
            [
                (
                    _budget(row, bold=row["budget_per_hour"] == chosen["budget_per_hour"]),
                    row["false_onsets_per_hour"],
                    *(f"{row[key]} %" for key in ("recall", "precision", "f1")),
                    ", ".join(row["silent"]) or "none",
                )
                for row in _with(told["curve"], chosen)
            ],
        ),
    ]


def _with(curve: list[dict[str, Any]], chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """The curve from the greatest budget down, the chosen point among it."""
    rows = {row["budget_per_hour"]: row for row in [*curve, chosen]}
    return [rows[budget] for budget in sorted(rows, key=lambda budget: -budget if budget is not None else -1e9)]


def _budget(row: dict[str, Any], bold: bool) -> str:
    text = "none: the best F1" if row["budget_per_hour"] is None else f"{row['budget_per_hour']:g}"
    return f"**{text}**" if bold else text


def _further(model: Model, told: dict[str, Any] | None) -> list[str]:
    """What `spiccato evaluate` measures besides, on the report half."""
    if told is None or not told["clips"]:
        return []
    low, high = told["balanced_accuracy_interval95"]
    work = told["operations_per_s"]
    events = [
        (f"F1 of events within {ms} ms, {what}", _share(row[key]["f1"]))
        for ms, row in told["event_f1"].items()
        for key, what in (("onset", "onsets"), ("onset_offset", "onsets and offsets"))
    ]
    return [
        "Measured besides, as `spiccato evaluate` does (`docs/models.md`):",
        _table(
            ("figure", "value"),
            [
                (
                    "balanced accuracy after 1 s, 95 % interval over physical instruments",
                    f"{_share(told['balanced_accuracy'])}, {_share(low)} to {_share(high)}",
                ),
                ("of one random piece of 300 ms, heard alone", _share(told["balanced_accuracy_300_ms_pieces"])),
                ("family, after 1 s", _share(told["family_accuracy"])),
                ("mean average precision", _share(told["macro_average_precision"])),
                *events,
            ],
        ),
        "As NeuroBench counts (`models/evaluation/operations.py`), on the same clips:",
        _table(
            ("figure", "value"),
            [
                ("footprint: parameters and membranes", f"{footprint_bytes(model)} bytes"),
                ("connection sparsity", _share(connection_sparsity(model))),
                ("activation sparsity", _share(activation_sparsity(work))),
                (
                    "synaptic operations a second",
                    f"{work['effective_accumulates'] / 1e6:.1f} million effective accumulates of"
                    f" {work['dense_synaptic_operations'] / 1e6:.1f} million dense, no multiplies; YAMNet"
                    f" {work['yamnet_multiplies'][0] / 1e6:.0f} million multiplies",
                ),
                ("membrane updates a second", f"{work['membrane_updates'] / 1e3:.1f} thousand"),
            ],
        ),
    ]


def _share(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _by_number(row: dict[str, float]) -> list[tuple[str, float]]:
    """Sorted by the number that a name begins with: the file's JSON is sorted by letters."""
    return sorted(row.items(), key=lambda item: float(item[0].split()[0]))


def _most(row: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(row.items(), key=lambda item: (-item[1], item[0]))


def _spread(row: dict[str, Any]) -> str:
    return f"median {row['median']} ms, 95 % within {row['p95']} ms" if row["events"] else "no event"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])
