"""Templates as TOML files: all that can be said in one, and what is said of a wrong one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole.template_file import read_template, read_templates
from opsconsole_protocol.api import Parameter
from opsconsole_protocol.api.template import read_values
from opsconsole_protocol.error import InvalidRequest

WHOLE = """
description = "Train a pose model"
command = ["python", "train.py", "--lr", "{lr}", "--opt={opt}", "--data", "{data}", "--max", "{limit}", "{extra}"]

[parameters.lr]
type = "float"
default = 0.1
min = 0
max = 1
help = "learning rate"

[parameters.opt]
type = "choice"
choices = ["adam", "sgd"]
default = "adam"

[parameters.data]
type = "path"
pattern = "/data/.*"

[parameters.limit]
type = "duration"
default = "1h30m"
max = "2h"

[parameters.extra]
type = "string"
required = false

[defaults]
gpus = 1
memory = "32G"
inputs = ["a b.csv", "c.csv"]
collect = "models/*"
datasets = ["train=lab:digits"]
timeout = "2h"
retries = 2
priority = 5
pause_by = "checkpoint"
"""


def write(folder: Path, text: str, name: str = "train.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_says_all_of_a_template(tmp_path: Path) -> None:
    row = read_template(write(tmp_path, WHOLE))
    assert (row.name, row.description, row.command[3]) == ("train", "Train a pose model", "{lr}")
    assert row.parameters == (
        Parameter(name="lr", kind="float", default=0.1, required=False, minimum=0, maximum=1, help="learning rate"),
        Parameter(name="opt", kind="str", default="adam", required=False, choices=("adam", "sgd")),
        Parameter(name="data", kind="path", pattern="/data/.*"),
        Parameter(name="limit", kind="duration", default=5400, required=False, maximum=7200),
        Parameter(name="extra", kind="str", required=False),
    )
    assert row.defaults == {
        "gpus": "1", "memory": "32G", "inputs": "'a b.csv' c.csv", "collect": "models/*", "datasets": "train=lab:digits",
        "timeout": "2h", "retries": "2", "priority": "5", "pause_by": "checkpoint",
    }  # fmt: skip
    assert read_values(row, {"data": "/data/x", "limit": "90"})["limit"] == 90


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type = "float"', 'type = "flaot"', "train.toml, line 6: [parameters.lr] 'flaot' is no type"),
        ("max = 1\n", 'max = "a lot"\n', "line 9: [parameters.lr] max is 'a lot', and a number is expected"),
        ("default = 0.1", "default = 7", "line 7: [parameters.lr] lr is at most 1, not 7"),
        ("min = 0", "min = 3", "line 7: [parameters.lr] lr is at least 3, not 0.1"),
        ("help =", "halp =", "line 10: [parameters.lr] unknown key 'halp': did you mean help?"),
        ('choices = ["adam", "sgd"]', "", "line 13: [parameters.opt] a choice needs its choices"),
        ('max = "2h"', 'max = "soon"', "line 24: [parameters.limit] 'soon' is not a duration"),
        ("gpus = 1", "gpus = true", "line 31: [defaults] gpus is True, and a text or a number is expected"),
        ("gpus = 1", 'gpus = "all"', "line 31: [defaults] the template's default for gpus can't be used: a whole number"),
        ("gpus = 1", 'gpus = 0\ngpu_memory = "6G"', "--gpus 0 is no GPU, and --gpu-memory is of one"),
        ("gpus = 1", "gpus = 0\nshare = true", "share is True"),
        ("gpus = 1", 'gpus = 0\nshare = "yes"', "--gpus 0 is no GPU, and --share is of one"),
        ("timeout =", "time_out =", "[defaults] 'time_out' can have no default: did you mean timeout?"),
        ('pause_by = "checkpoint"', 'pause_by = "stop"', "freeze or checkpoint, not 'stop'"),
        ("{extra}", "{more}", "line 3: the command names {more}: declare it under [parameters.more]"),
        ("command = [", "commands = [", "line 3: unknown key 'commands': did you mean command?"),
        ("[defaults]", "[defaults", "at line 30"),
        ("required = false", 'required = "no"', "line 28: [parameters.extra] required is true or false"),
        ('pattern = "/data/.*"', 'pattern = "/data/(.*"', "is not a regular expression"),
        ("default = 0.1", "default = nan", "line 7: [parameters.lr] lr is a finite number (float 0 to 1), not 'nan'"),
        ("max = 1\n", "max = inf\n", "[parameters.lr] its minimum and its maximum hold inf, which JSON has no word for"),
        ('choices = ["adam", "sgd"]', 'choices = ["adam", "adam"]', "[parameters.opt] opt: a choice is there twice"),
        ("command = [", 'name = "a@1"\ncommand = [', "line 3: a template can't be called a@1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_key(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in WHOLE
    with pytest.raises(InvalidRequest) as error:
        read_template(write(tmp_path, WHOLE.replace(old, new, 1)))
    assert str(tmp_path / "train.toml") in error.value.message
    assert said in error.value.message
    assert "\n" not in error.value.message


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path, 'command = "true"', "b.toml")
    write(tmp_path, 'name = "a"\ncommand = "true"', "z.toml")
    write(tmp_path, "no template", "README.md")
    write(tmp_path, "hidden", ".x.toml")
    assert [row.name for row in read_templates(tmp_path)] == ["a", "b"]
    write(tmp_path, 'name = "a"\ncommand = "true"', "a.toml")
    with pytest.raises(InvalidRequest, match=r"template a is in a\.toml already"):
        read_templates(tmp_path)
    (tmp_path / "c.toml").write_bytes(b"\xff")
    (tmp_path / "a.toml").unlink()
    with pytest.raises(InvalidRequest, match=r"c\.toml isn't UTF-8 \(byte 0\): save it as UTF-8"):
        read_templates(tmp_path)
    (tmp_path / "c.toml").unlink()
    with pytest.raises(InvalidRequest, match="nowhere is no folder"):
        read_templates(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_and_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "odd.toml")
    with pytest.raises(InvalidRequest, match=r"odd\.toml is no file"):
        read_templates(tmp_path)
