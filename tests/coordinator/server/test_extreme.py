"""No whole number of any request, at the extremes that its type allows, is a mistake of ours (hard use 65)."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from opsconsole_protocol import api
from opsconsole_protocol.api.codec import check_request
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.log import LogQuery
from tests.client import test_limit
from tests.coordinator.server.peer import Site


async def test_no_number_within_its_limits_is_too_much_for_us(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    job_id = (await _some_job(site)).id
    faults: list[tuple[str, tuple[str, ...], int]] = []
    never = {api.SubmitJobs, api.Subscribe, api.Backup}
    async with await site.operator() as operator:
        for tag, request in test_limit.REQUESTS.items():
            if type(request) in never:
                continue
            paths = test_limit.whole_numbers(inspect.type_info(type(request)))
            for path in (path for path in paths if test_limit.has(request, path)):
                for number in test_limit.EXTREME:
                    asked = test_limit.with_number(_about(request, job_id), path, number)
                    try:
                        check_request(asked)
                        async with asyncio.timeout(0.3):
                            await operator.call(asked)
                    except InvalidRequest:
                        continue
                    except TimeoutError:
                        assert isinstance(asked, api.WaitJobs | api.ReadLog), tag
                    except OpsconsoleError as error:
                        faults += [(tag, path, number)] if error.code == "internal" else []
    assert not faults
    assert not [record for record in caplog.records if "fault of our own" in record.message or record.exc_info]


async def _some_job(site: Site) -> api.JobRow:
    async with await site.operator() as operator:
        return await operator.submit()


def _about(request: Any, job_id: str) -> Any:
    """The request, about a job that there is; and never one that takes its time."""
    changes: dict[str, Any] = {"id": job_id} if hasattr(request, "id") else {}
    if isinstance(request, api.ReadLog):
        changes |= {"task_index": 0, "attempt": None, "wait_ms": 0, "settle_ms": 0, "query": LogQuery()}
    if isinstance(request, api.WaitJobs):
        changes |= {"ids": (job_id,), "timeout_ms": 1}
    return msgspec.structs.replace(request, **changes)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (api.ShowJob(id="x" * 100_000), "id: must have at most 128 characters"),
        (api.ReadLog(id="a", task_index=2**63, query=LogQuery()), "task_index"),
        (api.ReadLog(id="a", query=LogQuery(since_ms=2**62)), "since_ms"),
        (api.ListJobs(filter="x" * 1_000_000), "filter: must have at most 4000 characters"),
    ],
)
async def test_what_is_out_of_its_limits_on_the_wire_is_an_answer_in_words(
    site: Site, request_: api.AnyRequest, words: str
) -> None:
    async with await site.operator() as operator:
        with pytest.raises(InvalidRequest, match=words):
            await operator.call(request_)
        assert (await operator.call(api.AskHealth())).healthy
