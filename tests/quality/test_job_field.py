"""A field of a job's spec that is forgotten somewhere fails here: every option, form and page knows all of them."""

import argparse
from typing import Any

import pytest

from opsconsole.formatter import Formatter, RunAI, Slurm
from opsconsole_console.cli.job_option import _fields, add_job_options
from opsconsole_console.model import draft as drafts
from opsconsole_console.screen.part.spec_text import spec_lines
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.spec import JobSpec, PauseBy, Place, Resources

CODE = Bundle(content_id=ContentId("1" * 64), size_bytes=9, files=2, folder="pose", commit="3f2c1ab", dirty=True)
SET: dict[str, dict[str, Any]] = {
    "command": {"command": ("python", "train.py")},
    "name": {"name": "lr sweep"},
    "project": {"project": "pose"},
    "num_tasks": {"num_tasks": 3},
    "priority": {"priority": 7},
    "worker": {"worker": "gpu-a"},
    "workers": {"workers": ("gpu-a", "gpu-b")},
    "requirements": {"requirements": ("zone=a",)},
    "resources": {"resources": Resources(gpus=1, cpus=2, memory_mb=8_192, gpu_memory_mb=20_480, share=True)},
    "place": {"place": Place.PACK},
    "inputs": {"inputs": ("data.csv",)},
    "after": {"after": ("42f0k9x2mq",)},
    "after_failure": {"after_failure": ("42f0k9x2mq",)},
    "after_any": {"after_any": ("42f0k9x2mq",)},
    "takes": {"takes": ("42f0k9x2mq:model",)},
    "max_retries_failure": {"max_retries_failure": 2},
    "max_retries_preemption": {"max_retries_preemption": 3},
    "max_task_failures": {"max_task_failures": 4},
    "max_parallel": {"max_parallel": 5},
    "timeout_ms": {"timeout_ms": 60_000},
    "scheduling_timeout_ms": {"scheduling_timeout_ms": 61_000},
    "job_timeout_ms": {"job_timeout_ms": 62_000},
    "grace_ms": {"grace_ms": 9_000},
    "lost_after_ms": {"lost_after_ms": 63_000},
    "fence_after_ms": {"fence_after_ms": 64_000},
    "workdir": {"workdir": "/data/pose"},
    "environment": {"environment": {"SEED": "1"}},
    "ports": {"ports": ("master",)},
    "template": {"template": "train"},
    "template_version": {"template": "train", "template_version": 3},
    "parameters": {"num_tasks": 2, "parameters": ({"lr": "1"}, {"lr": "2"})},
    "task_commands": {"num_tasks": 2, "task_commands": (("a", "1"), ("a", "2")), "command": ("a", "1")},
    "held": {"held": True},
    "gang": {"gang": True},
    "uploads": {"uploads": (Upload(name="data.csv", content_id=ContentId("0" * 64), size_bytes=7, files=1),)},
    "bundle": {"bundle": CODE},
    "setup": {"setup": "uv sync", "bundle": CODE},
    "collect": {"collect": ("models/*",)},
    "pause_by": {"pause_by": PauseBy.CHECKPOINT},
    "pause_signal": {"pause_signal": "USR1"},
    "save_within_ms": {"save_within_ms": 65_000},
    "resume_from": {"resume_from": "/ckpt/base"},
    "datasets": {"datasets": (JobDataset("lab:digits", "train"),)},
    "metric_pattern": {"metric_pattern": r"L=(?P<loss>\S+)"},
}
"""For each field, what sets it to something that isn't its default."""
BY_THE_COMMAND = {"command", "template", "template_version", "parameters", "task_commands"}
"""Fields that the words after -- make, with --template, --set and --sweep."""
KEPT_BY_FORM = {"parameters", "template", "template_version"}
"""Without the template itself the form can't check these: tests/console/model/test_draft.py does."""
SHOWN_WITH_COMMANDS = {"parameters"}
"""A sweep's values are shown in its commands."""

MEANS_NOTHING_ELSEWHERE = {"template", "template_version", "parameters"}
"""What a job was made from: another system is told what came of it."""


def text(spec: JobSpec) -> str:
    return "\n".join(line.left.text + (line.right.text if line.right else "") for line in spec_lines(spec, 100))


def test_every_field_is_here() -> None:
    assert set(SET) == set(JobSpec.__struct_fields__)
    for name, fields in SET.items():
        assert getattr(JobSpec(**{"command": ("true",), **fields}), name) != getattr(JobSpec(command=("true",)), name)


def test_the_command_line_sets_every_field() -> None:
    parser = argparse.ArgumentParser()
    add_job_options(parser)
    assert set(_fields(parser.parse_args([]))) | BY_THE_COMMAND == set(SET)


@pytest.mark.parametrize("name", sorted(SET.keys() - SHOWN_WITH_COMMANDS))
def test_the_console_shows_every_field(name: str) -> None:
    fields = SET[name]
    without = {other: value for other, value in fields.items() if other != name}
    assert text(JobSpec(**{"command": ("true",), **fields})) != text(JobSpec(**{"command": ("true",), **without}))


@pytest.mark.parametrize("formatter", [Slurm(), RunAI("image")])
@pytest.mark.parametrize("name", sorted(SET.keys() - MEANS_NOTHING_ELSEWHERE))
def test_other_systems_are_told_every_field_or_it_is_named_as_left_out(name: str, formatter: Formatter) -> None:
    fields = {"command": ("true",), **SET[name]}
    if name == "max_parallel":
        fields["num_tasks"] = 3
    if isinstance(formatter, RunAI) and ("num_tasks" in fields or name == "num_tasks"):
        with pytest.raises(InvalidRequest, match="choose one of them"):
            formatter.text(JobSpec(**fields))
        return
    without = {other: value for other, value in fields.items() if other != name} | {"command": ("true",)}
    assert formatter.text(JobSpec(**fields)) != formatter.text(JobSpec(**without))


@pytest.mark.parametrize("formatter", [Slurm(), RunAI("image")])
@pytest.mark.parametrize("fields", [{"gpus": 2}, {"cpus": 2}, {"memory_mb": 9}, {"gpu_memory_mb": 9, "gpus": 1}])
def test_other_systems_are_told_what_each_task_needs(formatter: Formatter, fields: dict[str, Any]) -> None:
    needs, base = Resources(**fields), Resources(gpus=fields.get("gpus") if "gpu_memory_mb" in fields else None)
    texts = [formatter.text(JobSpec(command=("true",), resources=one)) for one in (needs, base)]
    assert texts[0] != texts[1]


@pytest.mark.parametrize("name", sorted(SET.keys() - KEPT_BY_FORM))
def test_the_form_keeps_every_field(name: str) -> None:
    spec = JobSpec(**{"command": ("true",), **SET[name]})
    assert drafts.check(drafts.from_spec(spec)).spec == spec
