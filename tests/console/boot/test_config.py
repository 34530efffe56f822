"""config.toml: every key documented, every mistake one line that says where."""

from pathlib import Path

import pytest

from opsconsole_console.boot.composition import notice_rules, telling
from opsconsole_console.boot.config import (
    EXAMPLE_FILE,
    Config,
    ConfigError,
    WorkerMount,
    config_path,
    keys_of,
    load_config,
    parse_config,
)
from opsconsole_console.cli import main
from tests.conftest import ROOT

EXAMPLE = EXAMPLE_FILE.read_text(encoding="utf-8")


def uncommented() -> str:
    """The example with every setting switched on, and its prose left out."""
    lines: list[str] = []
    for line in EXAMPLE.splitlines():
        bare = line.removeprefix("# ")
        is_setting = " = " in bare.partition("  #")[0] or bare.startswith("[[")
        lines.append(bare if line.startswith("# ") and is_setting else line)
    return "\n".join(lines)


def test_the_example_changes_nothing_as_it_is() -> None:
    assert parse_config(EXAMPLE) == Config()


def test_the_example_is_right_with_every_line_switched_on() -> None:
    config = parse_config(uncommented())
    assert config.worker.io.input_path == "/mnt/vast/inputs"
    assert config.worker.properties["supported_models"] == ["base", "centroid"]
    assert config.worker.mounts["lab"] == WorkerMount("/mnt/lab", aliases=("/Volumes/lab",))
    assert config.console.keys == {"job.cancel": "C"}


@pytest.mark.parametrize("key", keys_of(Config))
def test_every_key_is_in_the_example_and_in_the_documentation(key: str) -> None:
    section, _, name = key.rpartition(".")
    place = EXAMPLE.index(f"[{section}]")
    end = EXAMPLE.find("\n[", place)
    body = EXAMPLE[place : end if end > 0 else None]
    assert f"# {name} = " in body or f"[{key}]" in EXAMPLE
    assert f"`{key}`" in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_documentation_names_no_key_that_isnt_there() -> None:
    import re

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `((?:worker|coordinator|console|notify)\.[a-z_.]+)`", text, re.MULTILINE))
    assert named == set(keys_of(Config))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[worker.io]\n\ninput_pth = 'x'",
            r"c\.toml line 3: \[worker\.io\] has no key 'input_pth': did you mean 'input_path'",
        ),
        ("[wroker]", r"c\.toml line 1: there is no section \[wroker\]: did you mean 'worker'"),
        ("[console]\ninput_path = 'x'", r"line 2: \[console\] has no key 'input_path': it belongs into \[worker\.io\]"),
        ("[console]\nzzz = 1", r"line 2: \[console\] has no key 'zzz': it has agent, read_only"),
        ("worker.io.labl = 1", r"line 1: \[worker\.io\] has no key 'labl'"),
        ("[worker]\nmax_concurrent_jobs = 0", r"line 2: \[worker\] max_concurrent_jobs: .*>= 1"),
        ("[worker]\nname = 'a'\ntags = 'x'", r"line 3: \[worker\] tags: Expected `array`"),
        ("[coordinator]\ntls = 'off'", r"line 2: \[coordinator\] tls: Invalid enum value 'off'"),
        ("[[notify]]\nwebhok = 'x'", r"line 2: \[notify\] has no key 'webhok': did you mean 'webhook'"),
        ("[[notify]]\non = ['endd']", r"line 2: \[notify\] on: Invalid enum value 'endd'"),
        (
            "[worker.properties]\nzone = 'a'\ngpu_count = 'many'",
            r"line 3: .* gpu_count is a number, and 'many' is none",
        ),
        ("[worker.properties]\ncpus = true", r"line 2: \[worker.properties\] cpus is a number, and True is none"),
        ("worker = 3", r"line 1: \[worker\]: Expected `object`"),
        ("[worker\n", r"c\.toml: line 1: "),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(text, "c.toml")
    assert "\n" not in caught.value.message


def test_the_file_is_found_by_flag_environment_and_config_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path(None, {}) == tmp_path / "opsconsole" / "config.toml"
    assert config_path(None, {"OPSCONSOLE_CONFIG": "/etc/o.toml"}) == Path("/etc/o.toml")
    assert config_path(Path("/x.toml"), {"OPSCONSOLE_CONFIG": "/etc/o.toml"}) == Path("/x.toml")


def test_no_file_is_all_defaults_but_a_named_one_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config(None, {}) == Config()
    with pytest.raises(ConfigError, match="opsconsole config example"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="doesn't exist"):
        load_config(None, {"OPSCONSOLE_CONFIG": str(tmp_path / "none.toml")})


def test_a_file_that_isnt_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("on = ['end']", "number 2: it needs a webhook or a command"),
        ("webhook = 'http://h'\ncommand = ['x']", "and not both"),
        ("command = ['x']\nsecret_env = 'A'", "a secret goes with a webhook"),
        ("webhook = 'http://h'\nsecret_env = 'A'\nsecret_file = 'b'", "secret_file or secret_env"),
        ("webhook = 'http://h'\non = ['wait']", "go together"),
        ("webhook = 'http://h'\non = ['wait']\nwait_longer_than = 'soon'", "is not a duration"),
        ("webhook = 'https://ana:hidden@h/'", "no name and no password"),
        ("command = ['']", "the program first"),
    ],
)
def test_a_rule_that_cannot_work_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        notice_rules(parse_config(f"[[notify]]\ncommand = ['x']\n[[notify]]\n{text}"))
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notify_on = ['wait']", "go together"),
        ("notify_wait_longer_than = '1h'", "go together"),
        ("notify_on = ['wait']\nnotify_wait_longer_than = 'soon'", "notify_wait_longer_than: .*is not a duration"),
    ],
)
def test_what_the_console_tells_of_can_be_meant(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        telling(parse_config(f"[console]\n{text}"))


def test_the_examples_rules_are_right() -> None:
    assert len(notice_rules(parse_config(uncommented()))) == 3


def test_each_rule_is_tried_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[[notify]]\ncommand = ['/bin/cat']\n[[notify]]\ncommand = ['/bin/false']\n")
    assert main(["notify", "test", "--config", str(path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "1: the command cat: delivered",
        "2: the command false: it ended with exit code 1",
    ]
