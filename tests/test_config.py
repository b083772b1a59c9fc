"""The configuration: a file, the environment and the command line, and every mistake with its place."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.weights import Model
from server import config, fits, tokens
from server.config import Config, ConfigError, load
from server.outputs.config import Command, Midi, Mqtt, Osc, Rule, Webhook
from server.settings import Settings
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of this machine's user plays a part."""
    for name in [name for name in os.environ if name.startswith("SPICCATO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))


def written(text: str, name: str = "spiccato.toml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def wrong(text: str, **given: Any) -> list[str]:
    """What is said of a file that cannot be used."""
    with pytest.raises(ConfigError) as told:
        load(written(text), **given)
    return list(told.value.sentences)


def run(*arguments: object, status: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "spiccato", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_later_of_file_environment_and_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written("port = 1\nqueue_ms = 101\nstall_ms = 102\n")
    monkeypatch.setenv("SPICCATO_QUEUE_MS", "201")
    monkeypatch.setenv("SPICCATO_STALL_MS", "202")
    read = load(file, stall_ms=302)
    assert (read.settings.port, read.settings.queue_ms, read.settings.stall_ms) == (1, 201, 302)
    assert read.settings.threads == Settings().threads
    told = [read.origin((name,)) for name in ("port", "queue_ms", "stall_ms", "threads")]
    assert told == ["spiccato.toml:1", "SPICCATO_QUEUE_MS", "--stall-ms", "default"]


def test_tables_of_the_file_and_of_the_environment_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written("[thresholds.low]\non = 0.9\noff = 0.1\n[thresholds.high]\non = 0.8\n")
    monkeypatch.setenv("SPICCATO_THRESHOLDS__LOW__ON", "0.5")
    thresholds = load(file).settings.thresholds
    assert (thresholds["low"].on, thresholds["low"].off, thresholds["high"].on) == (0.5, 0.1, 0.8)


def test_all_mistakes_are_told_at_once_each_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICCATO_QUEUE_MS", "many")
    monkeypatch.setenv("SPICCATO_THRESHOLDS__LOW__OFF", "7")
    told = wrong(
        'prot = 8000\nport = 70000\n\n[thresholds.high]\non = 1.5\n"of" = 0.2\n\n[thresholds.low]\non = 2\n',
        threads=100,
    )
    assert sorted(told) == sorted(
        [
            "spiccato.toml:1: prot: there is no such setting; did you mean port?",
            "spiccato.toml:2: port=70000: input should be less than or equal to 65535",
            "spiccato.toml:5: thresholds.high.on=1.5: input should be less than 1",
            "spiccato.toml:6: thresholds.high.of: there is no such setting; did you mean off?",
            "spiccato.toml:9: thresholds.low.on=2: input should be less than 1",
            "SPICCATO_THRESHOLDS__LOW__OFF: thresholds.low.off='7': input should be less than 1",
            "SPICCATO_QUEUE_MS: queue_ms='many': input should be a valid integer, unable to parse string as an integer",
            "--threads: threads=100: input should be less than or equal to 64",
        ]
    )
    assert [line for line in told if line.startswith("spiccato.toml")] == sorted(
        line for line in told if line.startswith("spiccato.toml")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port = 1\nhost = \n", "spiccato.toml:2: this is not TOML: "),
        ("port = 1\nport = 2\n", "spiccato.toml:2: this is not TOML: Cannot overwrite a value"),
        ('a = 1\nhost = """\n\n', "spiccato.toml:3: this is not TOML: "),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, told: str) -> None:
    (sentence,) = wrong(text)
    assert sentence.startswith(told)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load(Path("none.toml"))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    Path("latin").write_bytes(b"port = 1\n# caf\xe9\n")
    with pytest.raises(ConfigError, match="latin:2: this is not UTF-8"):
        load(Path("latin"))
    Path("huge").write_bytes(b"#" * (config.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="huge is larger than 1048576 bytes"):
        load(Path("huge"))


def test_a_variable_that_is_no_json_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICCATO_THRESHOLDS", "{")
    with pytest.raises(ConfigError, match=r"the environment: .*thresholds.*double quotes"):
        load(None)


def test_a_secret_stands_in_no_message() -> None:
    (told,) = wrong("token = 12345678901234567\n")
    assert told == "spiccato.toml:1: token: input should be a valid string"


def test_paths_are_seen_from_the_files_folder_and_those_of_the_environment_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written('token_file = "tokens"\ntls_cert = "~/cert.pem"\ntls_key = "/k"\n', "etc/spiccato.toml")
    monkeypatch.setenv("SPICCATO_MODEL", "m.safetensors")
    read = load(file).settings
    assert read.token_file == tmp_path / "etc" / "tokens"
    assert read.tls_cert == tmp_path / "home" / "cert.pem"
    assert read.tls_key == Path("/k")
    assert read.model == Path("m.safetensors")


def test_the_file_is_found_where_the_documentation_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/etc/spiccato").exists():
        pytest.skip("this machine has a configuration")
    assert config.find() is None
    home = written("", "home/.config/spiccato/spiccato.toml")
    assert config.find() == home.absolute()
    assert config.find() == home.absolute()
    here = written("")
    assert config.find() == here
    monkeypatch.setenv("SPICCATO_CONFIG", "elsewhere.toml")
    assert config.find() == Path("elsewhere.toml")


def test_a_file_of_another_user_is_used_only_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written("port = 1\n")
    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    if file.stat().st_uid == 0:
        os.chown(file, 12_345, -1)
        monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(ConfigError, match="belongs to another user; to use it, name it"):
        config.find()
    assert load(file).settings.port == 1


def test_reading_again_sees_the_file_as_it_is_now() -> None:
    first: Config = load(written("queue_ms = 101\n"), port=5)
    written("queue_ms = 102\n")
    assert (first.again().settings.queue_ms, first.again().settings.port) == (102, 5)


# --- the commands ---


def test_check_tells_what_does_not_fit_the_model_too(toy_path: Path) -> None:
    file = written(f'model = "{toy_path}"\n[thresholds.low]\non = 0.2\n[thresholds.horn]\non = 0.5\n')
    told = run("config", "check", file, status=1).stderr.splitlines()
    assert told == [
        "spiccato: spiccato.toml:2: thresholds.low: on=0.2, off=0.4: off must be below on",
        "spiccato: spiccato.toml:4: thresholds.horn: 'horn' is not a label; the labels of toy@0.0.1 are low, high",
    ]
    assert run("serve", "--config", file, status=1).stderr.splitlines()[-2:] == told
    written(f'model = "{toy_path}"\n')
    assert run("config", "check").stdout == "spiccato.toml: all right\n"


def test_show_is_toml_that_says_the_same_and_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-secret-of-sixteen-characters"
    monkeypatch.setenv("SPICCATO_QUEUE_MS", "333")
    told = run("config", "show", written(f'token = "{secret}"\nport = 1\n[thresholds.low]\non = 0.9\n')).stdout
    assert secret not in told
    shown = tomllib.loads(told)
    assert (shown["port"], shown["queue_ms"], shown["thresholds"]) == (1, 333, {"low": {"on": 0.9}})
    assert "# spiccato.toml:2" in told
    assert "# SPICCATO_QUEUE_MS" in told
    monkeypatch.delenv("SPICCATO_QUEUE_MS")
    again = load(written(told)).settings
    assert (again.port, again.queue_ms, again.thresholds["low"].on, again.token) == (1, 333, 0.9, None)
    assert "# token is hidden  # spiccato.toml:1" in told


def test_the_schema_takes_what_the_service_takes() -> None:
    schema = json.loads(run("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema)
    valid.validate({"port": 1, "thresholds": {"low": {"on": 0.5}}, "token_file": "tokens"})
    for bad in ({"prot": 1}, {"port": 70_000}, {"thresholds": {"low": {"onn": 0.5}}}):
        assert not valid.is_valid(bad), bad


# --- outputs ---


def test_every_mistake_in_outputs_is_told_with_its_line(toy_path: Path) -> None:
    file = written(f"""\
model = "{toy_path}"
[[outputs]]
kind = "osc"
port = 9000
rule = {{labels = ["low", "horn"], families = ["brass"]}}

[[outputs]]
kind = "mqtt"
host = "broker"
user = "ear"
password = {{file = "password"}}

[[outputs]]
kind = "osc"
port = 9001

[[outputs]]
kind = "webhook"
url = {{env = "HOOK"}}
headers.X-Api-Key = {{env = "NO_SUCH"}}

[[outputs]]
kind = "midi"
first = 127
numbers.horn = 4
""")
    folder = Path.cwd()
    told = [
        line.removeprefix("spiccato: spiccato.toml:")
        for line in run("config", "check", file, status=1).stderr.splitlines()
    ]
    assert told == [
        "5: rule.labels: 'horn' is none of toy@0.0.1's: low, high",
        "5: rule.families: 'brass' is none of toy@0.0.1's: test",
        f"11: password: {folder}/password cannot be read: No such file or directory",
        "13: outputs.2: another output is called 'osc': give this one a name",
        "19: url: the environment has no HOOK",
        "20: X-Api-Key: the environment has no NO_SUCH",
        "24: first=127: 2 labels reach 128, over 127",
        "25: numbers: 'horn' is none of toy@0.0.1's labels: low, high",
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('kind = "smtp"', "3: outputs.0.kind='smtp': it is one of 'mqtt', 'webhook', 'osc', 'midi', 'command'"),
        ("", "1: outputs.0 has no kind"),
        ('kind = "osc"', "1: outputs.0 has no port"),
        ('kind = "osc"\nport = 1\nhots = "x"', "5: outputs.0.hots: there is no such setting; did you mean host?"),
        ('kind = "mqtt"\nhost = "x"\npassword = "y"', "1: outputs.0: a password needs a user"),
        ('kind = "mqtt"\nhost = "x"\ntopic = "a/#"', "5: outputs.0.topic='a/#': a topic has no + or #"),
        ('kind = "mqtt"\nhost = "x"\nca_file = "y"', "1: outputs.0: ca_file and cert_file need tls = true"),
        ('kind = "mqtt"\nhost = "x"\nrule.on = "onset"', "1: outputs.0: rule.on='onset': this output tells what is on"),
        ('kind = "webhook"\nurl = "http://x"\nbody.text = "$lable"', "5: outputs.0.body: $lable is no field of an"),
        ('kind = "webhook"\nurl = {}', '4: outputs.0.url: a secret is "text", {env = "NAME"} or {file = "path"}'),
        ('kind = "command"\nrun = "echo"', "4: outputs.0.run='echo': input should be a valid tuple"),
    ],
)
def test_outputs_of_the_wrong_form_are_told(lines: str, told: str) -> None:
    (sentence,) = wrong(f"[[outputs]]\nqueue = 5\n{lines}\n")
    assert sentence.startswith(f"spiccato.toml:{told}")


def test_midi_without_its_packages_names_the_extra(toy: Model, toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.outputs.fits.find_spec", lambda name: None)
    settings = load(written(f'model = "{toy_path}"\n[[outputs]]\nkind = "midi"\n')).settings
    (mistake,) = fits.mistakes(settings, toy)
    assert mistake.sentence == "MIDI needs two packages more: pip install 'spiccato[midi]'"


def test_secrets_of_outputs_are_not_shown() -> None:
    told = run(
        "config",
        "show",
        written("""\
[[outputs]]
kind = "webhook"
url = "https://hooks.example/s3cret"
secret = "s3cret"
headers = {Authorization = "Bearer s3cret", X-Other = {env = "OTHER"}}
"""),
    ).stdout
    assert "s3cret" not in told
    assert tomllib.loads(told)["outputs"][0]["headers"]["X-Other"] == {"env": "OTHER"}


# --- the documents ---


def blocks(name: str) -> list[str]:
    return re.findall(r"^```toml\n(.+?)^```", (ROOT / "docs" / name).read_text(), re.S | re.M)


@pytest.mark.parametrize("text", blocks("operations.md") + blocks("outputs.md"))
def test_every_configuration_that_the_documents_show_is_right(
    text: str, orchestra: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r'\{env = "(\w+)"\}', text):
        monkeypatch.setenv(name, "https://hooks.example/a-secret" if name.endswith("_URL") else "a-secret")
    for name in re.findall(r'\{file = "([^"]+)"\}', text):
        text = text.replace(name, name.rpartition("/")[2])
        Path(name.rpartition("/")[2]).write_text("a-secret")
    for name in ("tokens", "archive.pem", "archive.key"):
        Path(name).write_text("a-token-of-more-than-16")
    read = load(written(text))
    assert fits.mistakes(read.settings, orchestra) == []
    tokens.check(read.settings)


def test_there_are_five_whole_set_ups() -> None:
    told = (ROOT / "docs" / "operations.md").read_text().partition("## Five whole set-ups")[2].partition("\n## ")[0]
    assert len(re.findall(r"^### .+?^```toml$", told, re.S | re.M)) == 5


def test_every_setting_of_every_output_is_documented() -> None:
    told = (ROOT / "docs" / "outputs.md").read_text()
    for model in (Rule, Mqtt, Webhook, Osc, Midi, Command):
        for name in model.model_fields:
            assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`|^{name} = ", told, re.M), f"{model.__name__}.{name}"
