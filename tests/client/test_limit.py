"""What is out of its limits is refused by its name, before the wire (hard use 41, 47, 65): every number, text and list.

Every request with every whole number at its extremes is tried, on the client's edge and on a coordinator.
"""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from opsconsole_protocol import api
from opsconsole_protocol.api.codec import check_request
from opsconsole_protocol.bound import TIME_MS_MAX, WHOLE_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.stream.message import KeepContent, OpenStream
from tests.protocol import content_sample, queue_sample, sample
from tests.protocol.refusal import may_refuse

EXTREME = (
    0,
    -1,
    1,
    2**31,
    WHOLE_MAX,
    WHOLE_MAX + 1,
    TIME_MS_MAX,
    TIME_MS_MAX + 1,
    -(2**63),
    2**63 - 1,
    2**63,
    2**64 - 1,
)


def whole_numbers(kind: inspect.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where in a struct whole numbers are."""
    match kind:
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from whole_numbers(field.type, (*path, field.name))
        case inspect.UnionType(types=types):
            for one in types:
                yield from whole_numbers(one, path)
        case inspect.IntType():
            yield path


REQUESTS: dict[str, Any] = {
    **sample.REQUESTS, **sample.TRUST_REQUESTS, **sample.STREAM_REQUESTS, **queue_sample.REQUESTS, "ask_graph": api.AskGraph(id="7k3"),
    "ask_for_stream_keep": api.AskForStream(
        open=OpenStream(purpose=KeepContent(content_id=sample.CONTENT, size_bytes=1, files=1))
    ),
    "list_files": api.ListFiles(worker="gpu1", query=sample.FILE_QUERY),
    "read_file_part": api.ReadFilePart(worker="gpu1", query=sample.PART_QUERY),
    "metrics": api.ReadMetrics(id="a", names=("loss",), attempt=1),
    "describe_dataset": api.DescribeDataset(worker="gpu1", query=sample.DATASET_QUERY),
}  # fmt: skip
WRITTEN_BY_US = {
    (tag, (name, "created_at_ms"))
    for tag, name in (
        ("set_template", "template"),
        ("set_template_version", "template"),
        ("sync_templates", "templates"),
    )
}
PARTS: dict[str, msgspec.Struct] = {"bundle": content_sample.BUNDLE, "share": sample.SHARE_CHANGE}
"""What a sample request doesn't have, but may."""


def has(request: Any, path: tuple[str, ...]) -> bool:
    """Whether there is such a field; one of several kinds of parts has only its own."""
    name, *rest = path
    return hasattr(request, name) and (not rest or has(getattr(request, name) or PARTS[name], tuple(rest)))


PLACES = [
    (tag, path)
    for tag, request in REQUESTS.items()
    for path in whole_numbers(inspect.type_info(type(request)))
    if (tag, path) not in WRITTEN_BY_US and has(request, path)
]  # fmt: skip


def with_number(request: msgspec.Struct, path: tuple[str, ...], number: int) -> Any:
    name, *rest = path
    value = with_number(getattr(request, name) or PARTS[name], tuple(rest), number) if rest else number
    return msgspec.structs.replace(request, **{name: value})


@pytest.mark.parametrize(
    ("tag", "path"), PLACES, ids=lambda value: value if isinstance(value, str) else ".".join(value)
)
def test_a_number_beyond_every_limit_is_refused_by_its_name(tag: str, path: tuple[str, ...]) -> None:
    for number in (2**63, 2**64 - 1, 2**70):
        with pytest.raises(InvalidRequest) as error:
            check_request(with_number(REQUESTS[tag], path, number))
        assert "\n" not in error.value.message
        assert path[-1] in error.value.message or number == 2**70


@pytest.mark.parametrize("tag", sorted(REQUESTS))
def test_what_is_within_its_limits_passes(tag: str) -> None:
    check_request(REQUESTS[tag])


@given(st.sampled_from(PLACES), st.sampled_from(EXTREME))
def test_any_number_passes_or_is_refused_in_one_line(place: tuple[str, tuple[str, ...]], number: int) -> None:
    tag, path = place
    with may_refuse(InvalidRequest):
        check_request(with_number(REQUESTS[tag], path, number))


def test_every_kind_of_request_is_tried() -> None:
    assert {type(request) for request in REQUESTS.values()} >= set(get_args(api.AnyRequest))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (api.ReadLog(id="a", task_index=2**63, query=LogQuery()), "task_index"),
        (api.ListJobs(filter="x" * 5_000), "filter: must have at most 4000 characters"),
        (api.ListJobs(limit=0), "limit: must be at least 1"),
        (api.Act(verb="cancel", ids=()), "ids: must have at least 1 entries"),
        (api.ShowJob(id="\udcff"), "not UTF-8"),
    ],
)
def test_the_words_name_the_field(request_: api.AnyRequest, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_request(request_)
