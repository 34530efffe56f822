"""Functions as jobs: which can be called by their names, with what, and what is read of what they leave."""

import functools
import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from opsconsole import JobSpec, NoWorkersAcceptedError, OpsconsoleError, PythonFunction, Resources, TaskError
from opsconsole.call import CALLS, PICKLE_FILE, RESULT_BYTES_MAX, RESULT_FILE
from opsconsole.function import CALLS_IN_ENVIRONMENT_MAX, Call, function_name
from opsconsole.result import read_result
from opsconsole_protocol import api
from opsconsole_protocol.error import (
    InvalidRequest,
    JobFailedError,
    LimitExceeded,
    NotFound,
    ProtocolError,
    Unavailable,
)
from opsconsole_protocol.file_listing import FilePart
from opsconsole_protocol.spec import check_fields, check_spec, task_alone
from opsconsole_protocol.state import TaskState
from tests.client.row import task_row


def test_a_function_is_named_by_where_a_task_can_import_it() -> None:
    assert function_name(math.sqrt) == "math:sqrt"
    assert function_name(json.JSONDecoder.decode) == "json.decoder:JSONDecoder.decode"
    assert function_name("a.b:c.d") == "a.b:c.d"


def _main() -> None:
    """Stands for a function of the script that runs."""


_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: 1, "a lambda has no name"),
        (functools.partial(math.sqrt, 1), "has no name by which"),
        (_main, "move it to a module beside it"),
        (json.JSONDecoder().decode, "is not the function that was given"),
        ("fit", "write package.module:function"),
        ("fit:", "write package.module:function"),
        ("a b:c", "write package.module:function"),
        ("fit:f(1)", "write package.module:function"),
        ("fit:f\n", "write package.module:function"),
    ],
)
def test_what_no_task_could_import_is_refused(function: str | Callable[..., Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        PythonFunction(function)


def test_a_nested_function_is_refused() -> None:
    def inner() -> None:
        """Only here."""

    with pytest.raises(InvalidRequest, match="made inside a function"):
        PythonFunction(inner)


def test_many_calls_are_the_tasks_of_one_job_and_a_clone_of_one_calls_the_same() -> None:
    job = JobSpec(command=("uv", "run", "python"), resources=Resources(gpus=1), collect=("a",), environment={"K": "v"})
    spec = PythonFunction("fit:fit", [{"lr": 1}, {"lr": 2}, Call((3,), {"b": None})], job=job).spec()
    check_fields(spec)
    check_spec(spec)
    assert (spec.name, spec.num_tasks, spec.resources.gpus) == ("fit:fit", 3, 1)
    assert spec.parameters == ({"lr": 1}, {"lr": 2}, {"0": 3, "b": None})
    assert spec.collect == ("a", "opsconsole-result.*")
    assert json.loads(spec.environment[CALLS]) == [[[], {"lr": 1}], [[], {"lr": 2}], [[3], {"b": None}]]
    assert spec.environment["K"] == "v"
    alone = task_alone(spec, 1)
    assert alone.command == ("uv", "run", "python", "-m", "opsconsole.call", "fit:fit", "1")
    assert PythonFunction("fit:fit").spec().command[-1] == "fit:fit"


def test_long_arguments_go_in_a_file_and_not_in_the_environment() -> None:
    long = PythonFunction("fit:fit", {"text": CALLS_IN_ENVIRONMENT_MAX * "x"})
    assert long.needs_file
    assert long.spec().environment == {}


@pytest.mark.parametrize("value", [{1, 2}, b"x", 1j, {1: 2}, object(), [object()]])
def test_arguments_that_json_has_no_word_for_are_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"fit:fit: lr can't be sent .*: give plain values"):
        PythonFunction("fit:fit", {"lr": value})


def test_what_json_has_no_number_for_is_called_with_and_told_as_a_text() -> None:
    function = PythonFunction("a:b", [{"lr": float("nan")}, {"lr": 10**30}])
    assert [one["lr"] for one in function.spec().parameters] == ["nan", str(10**30)]
    assert json.loads(function.calls_json)[1][1]["lr"] == 10**30


def test_arguments_that_lead_in_a_circle_are_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidRequest, match="nested too deep"):
        PythonFunction("fit:fit", {"lr": circle})


@pytest.mark.parametrize("parameters", [[], ()])
def test_no_call_at_all_is_refused(parameters: Any) -> None:
    with pytest.raises(InvalidRequest, match="isn't called with anything"):
        PythonFunction("fit:fit", parameters)


# --- what is read ----------------------------------------------------------------------------------------------------


class Files:
    """A coordinator that has some files of one task, and gives them in pieces."""

    def __init__(self, **files: bytes) -> None:
        self.files = {"json": files.get("json"), "pickle": files.get("pickle")}

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        assert isinstance(request, api.ReadFilePart)
        query = request.query
        data = self.files["json" if query.path == RESULT_FILE.encode() else "pickle"]
        if data is None:
            raise NotFound("there is no such file")
        piece = data[query.offset : query.offset + min(query.limit, 1_000_000)]
        return api.FilePartAnswer(worker="gpu-a", part=FilePart(data=piece, size=len(data)))


TASK = replace(task_row("abc", 0), state=TaskState.SUCCEEDED, attempt=2)


async def read(task: api.TaskRow = TASK, said: Any = None, *, trust_pickle: bool = False, **files: bytes) -> Any:
    if said is not None:
        files["json"] = json.dumps(said).encode()
    return await read_result(Files(**files), "abc", task, trust_pickle=trust_pickle)


async def test_a_result_is_read_in_pieces() -> None:
    assert await read(said={"value": [1, None], "attempt": "2"}) == [1, None]
    long = 3_000_000 * "x"
    assert await read(said={"value": long, "attempt": "2"}) == long


async def test_a_pickle_is_only_loaded_where_it_is_trusted() -> None:
    told = {"pickle": "builtins.set", "size": 5, "attempt": "2"}
    evil = b"cos\nsystem\n(S'touch /tmp/x'\ntR."
    with pytest.raises(InvalidRequest, match="trust_pickle=True"):
        await read(said=told, pickle=evil)
    with pytest.raises(ProtocolError, match="can't be loaded here"):
        await read(said=told, pickle=b"nonsense", trust_pickle=True)


async def test_an_error_has_its_type_and_traceback_and_one_line() -> None:
    failed = replace(TASK, state=TaskState.FAILED, error="exit code 1")
    error = {"type": "fit.Odd", "message": "no\nluck " + 600 * "x", "traceback": "line 1\nline 2", "attempt": "2"}
    with pytest.raises(TaskError) as caught:
        await read(failed, {"error": error})
    assert caught.value.message.startswith("abc/task-0 raised fit.Odd: no luck xxx")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) <= 500
    assert (caught.value.type, caught.value.traceback) == ("fit.Odd", "line 1\nline 2")
    assert caught.value.__notes__ == ["line 1\nline 2"]


@pytest.mark.parametrize("said", [{"value": 1, "attempt": "1"}, {"error": {"type": "E", "attempt": "1"}}, None])
async def test_what_an_earlier_attempt_left_is_not_taken_for_the_last_one_s(said: Any) -> None:
    failed = replace(TASK, state=TaskState.FAILED, error="killed by SIGKILL")
    with pytest.raises(JobFailedError, match="failed: killed by SIGKILL") as caught:
        await read(failed, said)
    assert not isinstance(caught.value, TaskError)


async def test_a_result_that_is_not_in_its_place_yet_is_no_failure() -> None:
    with pytest.raises(Unavailable, match="ask for it again"):
        await read(said={"value": 1, "attempt": "1"})


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
async def test_a_result_that_is_none_is_one_line(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="can't be read"):
        await read(json=data)


async def test_a_result_is_not_read_without_end() -> None:
    with pytest.raises(LimitExceeded, match="too large"):
        await read(json=b"[" + (RESULT_BYTES_MAX + 10_000) * b"1" + b"]")


async def test_a_task_that_lost_its_worker_may_be_tried_again() -> None:
    with pytest.raises(JobFailedError) as caught:
        await read(replace(TASK, state=TaskState.WORKER_FAILED))
    assert caught.value.recoverable


def test_the_files_of_a_result_are_what_is_collected() -> None:
    assert all(one.startswith("opsconsole-result.") for one in (RESULT_FILE, PICKLE_FILE))


@pytest.mark.parametrize(
    "error",
    [
        TaskError("job/task-2", "ValueError", "too much", "Traceback: …"),
        JobFailedError("failed", "killed", recoverable=True, job="job", exit_code=143),
        NoWorkersAcceptedError("none takes it", {"gpu-a": "busy"}),
        NotFound("there is no such job"),
    ],
)
def test_an_error_passes_from_one_process_to_another_with_all_that_it_holds(error: OpsconsoleError) -> None:
    """As from a pool of processes, which waits for ever where an error can't be read there."""
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(back) is type(error)
    assert (back.args, vars(back), back.message) == (error.args, vars(error), error.message)
