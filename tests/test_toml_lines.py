"""Where a setting stands in a TOML file."""

import tomllib
from typing import Any

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from server.toml_lines import lines

SAMPLE = '''\
host = "a"   # 1
text = """
[not.a.table]
port = 2
"""
port = 3  # 6

[detect.thresholds.violin]
on = 0.5
"off" = 0.1

[[outputs]]
kind = "osc"
list = [
  1,
  2,
]
[outputs.rule]
labels = ["violin"]

[[outputs]]
rule = {labels = ["cello"], min_score = 0.5}
[[outputs.inner]]
x.y = 1
'''


def test_each_setting_has_the_line_on_which_it_stands() -> None:
    found = lines(SAMPLE)
    assert found["host",] == 1
    assert found["text",] == 2
    assert found["port",] == 6
    assert found["detect", "thresholds", "violin"] == found["detect", "thresholds"] == 8
    assert found["detect", "thresholds", "violin", "off"] == 10
    assert found["outputs", 0] == found["outputs",] == 12
    assert found["outputs", 0, "list"] == found["outputs", 0, "list", 1] == 14
    assert found["outputs", 0, "rule", "labels", 0] == 19
    assert found["outputs", 1] == 21
    assert found["outputs", 1, "rule", "min_score"] == 22
    assert found["outputs", 1, "inner", 0] == 23
    assert found["outputs", 1, "inner", 0, "x", "y"] == 24


def test_files_with_windows_line_ends_have_the_same_lines() -> None:
    assert lines(SAMPLE.replace("\n", "\r\n")) == lines(SAMPLE)


KEYS = st.text("ab .\"'[]=#", min_size=1, max_size=4)
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.text("a\"'\\\n[]=#", max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {at}.union(*(paths(inner, (*at, name)) for name, inner in items))


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
def test_every_setting_of_any_file_has_a_line(data: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    found = lines(text)
    assert set(found) == paths(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
