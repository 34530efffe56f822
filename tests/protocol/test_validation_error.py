"""A value of the wrong shape is refused by its field's name (hard use 41), never by a path into a frame."""

from typing import Any

import msgspec
import pytest

from opsconsole_protocol import api
from opsconsole_protocol.api.codec import server_codec
from opsconsole_protocol.error import InvalidRequest, ProtocolError
from opsconsole_protocol.spec import JobSpec, Resources, check_fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_tasks": 0}, "num_tasks: must be at least 1"),
        ({"num_tasks": "3"}, "num_tasks: must be a whole number, not a text"),
        ({"priority": 10**9}, "priority: must be at most 1000000"),
        ({"name": "n" * 300}, "name: must have at most 200 characters"),
        ({"command": "echo x"}, "command: must be a list, not a text"),
        ({"command": ()}, "command: must have at least 1 entries"),
        ({"command": ("echo", 1)}, "command[1]: must be a text, not a whole number"),
        ({"resources": Resources(gpus=-1)}, "resources.gpus: must be at least 0"),
        ({"environment": {"A": 1}}, "environment: must be a text, not a whole number"),
        ({"ports": ("a b",)}, "ports[0]: has characters that can't stand there"),
        ({"worker": 3}, "worker: must be a text or nothing, not a whole number"),
        ({"inputs": (b"x",)}, None),
        ({"parameters": ({"a": object()},)}, "the job can't be sent"),
    ],
)
def test_a_field_is_refused_by_its_name(fields: dict[str, Any], message: str | None) -> None:
    spec = JobSpec(**{"command": ("true",), **fields})
    if message is None:
        check_fields(spec)
        return
    with pytest.raises(InvalidRequest) as refused:
        check_fields(spec)
    assert message in refused.value.message
    assert "$" not in refused.value.message
    assert "`" not in refused.value.message


def test_a_frame_names_the_field_and_no_path() -> None:
    spec = JobSpec(command=("true",), num_tasks=0)
    call = api.Call(1, api.SubmitJobs(submissions=(api.Submission("aaaaaaaaaa", spec),)))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError) as refused:
        server_codec().decode(msgspec.msgpack.encode([call]))
    assert refused.value.message == "a message has the wrong shape: num_tasks: Expected `int` >= 1"
