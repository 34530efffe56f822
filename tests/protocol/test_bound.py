"""Everything that comes from outside has a size, and what passes one edge passes the next (hard use 46, 47, 59, 65).

The messages are walked by their types: a new field without a bound fails here. What is stored and read back by the
same type (a job's spec, a template) is held to a function instead, field by field.
"""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from opsconsole_protocol import api, bound, link
from opsconsole_protocol.api.template_row import TemplateRow
from opsconsole_protocol.bound import (
    ENVIRONMENT_BYTES_MAX,
    INPUTS_MAX,
    PATH_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    TREE_BYTES_MAX,
    TREE_DEPTH_MAX,
    check_tree,
    cut,
)
from opsconsole_protocol.dataset import JOB_DATASETS_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import AttemptId, JobId, TaskId
from opsconsole_protocol.input_name import NAME_BYTES_MAX
from opsconsole_protocol.spec import JobSpec, check_spec
from tests.protocol.refusal import may_refuse

FROM_OUTSIDE = (*get_args(link.AgentMessage), *get_args(link.CoordinatorMessage), *get_args(api.ClientMessage))
BY_FUNCTION = {JobSpec: "check_spec", TemplateRow: "check_template"}
TREES = {"Register.properties", "UpdateMetadata.properties"}


def unbounded(kind: inspect.Type, where: str, seen: set[type]) -> Iterator[str]:  # noqa: C901 - one case a kind of type
    """The places below a type that could hold any amount."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            if cls in seen or cls in BY_FUNCTION:
                return
            seen.add(cls)
            for field in fields:
                yield from unbounded(field.type, f"{cls.__name__}.{field.name}", seen)
        case inspect.UnionType(types=types):
            for one in types:
                yield from unbounded(one, where, seen)
        case inspect.StrType(max_length=None):
            yield where
        case inspect.IntType(ge=low, gt=above, le=high, lt=below):
            if (low is None and above is None) or (high is None and below is None):
                yield where
        case inspect.VarTupleType(item_type=item, max_length=most) | inspect.ListType(item_type=item, max_length=most):
            if most is None:
                yield where
            yield from unbounded(item, where, seen)
        case inspect.TupleType(item_types=items):
            for one in items:
                yield from unbounded(one, where, seen)
        case inspect.DictType(key_type=key, value_type=value, max_length=most):
            if most is None:
                yield where
            yield from unbounded(key, where, seen)
            yield from unbounded(value, where, seen)
        case inspect.AnyType() | inspect.RawType() | inspect.BytesType(max_length=None):
            if where not in TREES:
                yield where


@pytest.mark.parametrize("kind", FROM_OUTSIDE, ids=lambda kind: kind.__name__)
def test_every_field_of_every_message_from_outside_is_bounded(kind: type) -> None:
    assert list(unbounded(inspect.type_info(kind), kind.__name__, set())) == []


def test_a_field_without_a_bound_is_seen() -> None:
    class Loose(msgspec.Struct):
        text: str
        many: tuple[int, ...]
        tree: dict[str, Any]

    found = list(unbounded(inspect.type_info(Loose), "Loose", set()))
    assert {"Loose.text", "Loose.many", "Loose.tree"} <= set(found)


LONG = "x" * 5_000
EVERY_SIZE: dict[str, Any] = {
    "command": ("x" * 200_000,), "name": "x" * 201, "project": "x" * 101, "worker": LONG, "workers": (LONG,), "requirements": (LONG,),
    "inputs": (LONG,), "after": (LONG,), "after_failure": (LONG,), "after_any": (LONG,), "takes": (LONG,), "workdir": f"/{LONG}", "environment": {"A": "x" * ENVIRONMENT_BYTES_MAX},
    "ports": tuple(f"p{number}" for number in range(bound.PORTS_MAX + 1)), "template": LONG,
    "parameters": ({"a": "x" * TREE_BYTES_MAX},), "task_commands": (("x",) * 20_000,),
    "uploads": ({"name": "a", "content_id": "0" * 64, "size_bytes": 1, "files": 1, "host": LONG},), "setup": LONG * 3,
    "collect": (LONG,), "pause_signal": LONG, "resume_from": f"/{LONG}", "metric_pattern": LONG,
    "datasets": [{"where": f"/{number}", "name": f"n{number}"} for number in range(JOB_DATASETS_MAX + 1)],
}  # fmt: skip


def test_every_text_and_list_of_a_spec_is_named_here() -> None:
    """A new field of a spec that can hold any amount has to be bounded too."""
    info = inspect.type_info(JobSpec)
    assert isinstance(info, inspect.StructType)
    sizeless = (
        inspect.IntType,
        inspect.FloatType,
        inspect.BoolType,
        inspect.NoneType,
        inspect.StructType,
        inspect.EnumType,
    )
    open_ended = set()
    for field in info.fields:
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if not all(isinstance(kind, sizeless) for kind in kinds):
            open_ended.add(field.name)
    assert open_ended == set(EVERY_SIZE)


@pytest.mark.parametrize("field", sorted(EVERY_SIZE))
def test_a_spec_with_too_much_of_anything_is_refused_in_one_line(field: str) -> None:
    with pytest.raises((InvalidRequest, msgspec.ValidationError)) as error:
        check_spec(msgspec.convert({"command": ("true",), field: EVERY_SIZE[field]}, JobSpec))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_the_longest_that_a_spec_may_hold_passes_the_agents_edge() -> None:
    path = "/" + "x" * (PATH_CHARACTERS_MAX - 1)
    spec = JobSpec(
        command=("x" * 100_000,),
        name="n" * 200,
        inputs=("x" * NAME_BYTES_MAX,) * INPUTS_MAX,
        workdir=path,
        environment={"A": "x" * (ENVIRONMENT_BYTES_MAX - 10)},
        ports=tuple(f"p{number}" for number in range(bound.PORTS_MAX)),
    )
    check_spec(spec)
    launch = link.Launch(
        job_id=JobId("7k3m9q2w4t"), task_id=TaskId("7k3m9q2w4t/task-0"), task_index=0, num_tasks=1, attempt=0,
        command=spec.command, name=spec.title, inputs=spec.inputs, workdir=spec.workdir, environment=spec.environment,
        ports=spec.ports,
    )  # fmt: skip
    told = link.JobAssignment(seq=1, desired=link.Desired(attempt_id=AttemptId("7k3m9q2w4t.0.0.ab12"), launch=launch))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=link.JobAssignment) == told
    asked = link.InputFile(check_id=1, filename=path)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=link.InputFile) == asked


def test_a_command_without_a_name_names_a_job_that_an_agent_takes() -> None:
    title = JobSpec(command=("x" * 100_000,)).title
    assert len(title) <= bound.NAME_CHARACTERS_MAX


def nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(depth):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": nested(600)}, "nested more than"),
        ({"a": "x" * TREE_BYTES_MAX}, "larger than 16 KiB"),
        ({"a": [0] * TREE_BYTES_MAX}, "larger than 16 KiB"),
        ({"x" * TREE_BYTES_MAX: 1}, "larger than 16 KiB"),
        ({"a": msgspec.msgpack.Ext(5, b"x")}, "no word for"),
        ({"a": b"x"}, "no word for"),
        ({"a": {1: 2}}, "a key that is no text"),
        ({"a": 10**5_000}, "more than 64 bits"),
        ({"a": [float("nan")]}, "hold nan, which JSON has no word for"),
        ({"a": float("-inf")}, "hold -inf, which JSON has no word for"),
    ],
)
def test_a_tree_that_is_none_is_refused_in_one_line(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as error:
        check_tree("the properties", tree)
    assert "\n" not in error.value.message


def test_a_tree_as_deep_as_allowed_passes() -> None:
    check_tree("the properties", nested(TREE_DEPTH_MAX - 1))


TREE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(TREE)
def test_what_passes_can_be_told_to_everybody(tree: Any) -> None:
    with may_refuse(InvalidRequest):
        check_tree("the properties", tree)
        msgspec.json.encode(tree)
        msgspec.msgpack.decode(msgspec.msgpack.encode(tree))


@given(st.text(max_size=3 * TEXT_CHARACTERS_MAX))
def test_a_text_that_is_cut_passes_the_edge(text: str) -> None:
    assert len(cut(text)) <= TEXT_CHARACTERS_MAX
    assert cut(text)[:-1] == text[: len(cut(text)) - 1]
