"""Jobs that are submitted together and name each other."""

from itertools import count

import pytest

from opsconsole import Client
from opsconsole.pipeline import check_pipeline, in_order, named_specs
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId, job_id
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer


def spec(**fields: tuple[str, ...] | int) -> JobSpec:
    return JobSpec(command=("true",), **fields)  # type: ignore[arg-type]


def test_names_become_ids_and_results_keep_their_names() -> None:
    numbers = count(1)
    jobs = named_specs(
        {
            "prepare": spec(collect=("data/*",)),
            "train": spec(takes=("prepare",), num_tasks=2),
            "test": spec(
                after=("train:*", "prepare/0"), after_any=("42f0k9x2mq",), takes=("prepare:points",), num_tasks=2
            ),
        },
        lambda: job_id(next(numbers)),
    )
    ids = {name: one for name, (one, _) in jobs.items()}
    test = jobs["test"][1]
    assert jobs["train"][1].takes == (f"{ids['prepare']}:prepare",)
    assert test.after == (f"{ids['train']}:*", f"{ids['prepare']}/task-0")
    assert (test.after_any, test.takes) == (("42f0k9x2mq",), (f"{ids['prepare']}:points",))


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({}, "there is no job in this pipeline"),
        ({"a b": spec()}, "'a b' can't name a job"),
        ({"prepare": spec(), "b": spec(after=("prepar",))}, r"b: --after prepar: .* did you mean prepare\?"),
        ({"a": spec(), "b": spec(takes=("a",))}, "b: --take a: nothing is collected of that job"),
        ({"a": spec(num_tasks=2), "b": spec(after=("a:*",))}, "b: --after a:[*]: that job has 2 tasks and this one 1"),
        ({"a": spec(), "b": spec(after_any=("a/4",))}, "b: --after-any a/task-4: that job has 1 task"),
        (
            {"a": spec(after=("c",)), "b": spec(after=("a",)), "c": spec(after_any=("b",))},
            "wait for each other: a → c → b → a",
        ),
    ],
)
def test_what_can_not_be_submitted_together_is_refused(specs: dict[str, JobSpec], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_pipeline(specs)


def test_each_stands_after_those_that_it_waits_for() -> None:
    assert in_order({"c": spec(after=("b",)), "b": spec(after=("a",)), "a": spec()}) == ["a", "b", "c"]


async def test_the_client_submits_all_in_one_and_gives_the_rows_by_name() -> None:
    with FakeServer() as server:
        async with await Client.open(server.target) as client:
            rows = await client.submit_pipeline(
                {"a": spec(), "b": JobSpec(command=("true",), name="mine", after=("a",))}
            )
        (asked,) = [one for one in server.asked if isinstance(one, api.SubmitJobs)]
    assert [one.spec.name for one in asked.submissions] == ["a", "mine"]
    assert asked.submissions[1].spec.after == (rows["a"].id,)
    assert {name: row.id for name, row in rows.items()} == {
        name: JobId(one.job_id) for name, one in zip("ab", asked.submissions, strict=True)
    }
