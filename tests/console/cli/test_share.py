"""Weights and limits, who has what, and how many tasks of a job run at a time."""

import json
import re

import pytest
from msgspec.structs import replace

from opsconsole_protocol import api
from opsconsole_protocol.share import ShareChange
from tests.client.fake_server import FakeServer
from tests.console.app import recorded
from tests.console.cli.conftest import Run


def answer_usage(server: FakeServer, answer: api.UsageAnswer) -> None:
    server.answers[api.AskUsage] = lambda _fake, _request: answer


def test_usage_says_who_had_what_and_who_is_next(run: Run, server: FakeServer) -> None:
    answer_usage(server, recorded.usage())
    ran = run("usage", "--days", "30")
    assert server.asked[-1] == api.AskUsage(days=30)
    lines = ran.out.splitlines()
    assert lines[0].split()[:2] == ["PROJECT", "PERSON"]
    assert "312 h" in lines[1]
    assert "3 GPUs, 3 tasks" in lines[1]
    assert "project weight 2, at most 40 tasks, 16 GPUs at a time; person at most 4 GPUs at a time" in lines[1]
    assert any(line.startswith("Next, in this order") for line in lines)
    assert lines[-1].endswith("ana has 4 of the 4 GPUs that it may have at a time; this needs 1")
    found = [json.loads(line) for line in run("usage", "--json").out.splitlines()]
    assert [one.get("gpus_now") for one in found] == [3, 2, 1, 0, None, None]
    assert found[-1]["first_job"] == "6a0rj8w5te"


def test_usage_of_nothing_and_of_too_many_is_said(run: Run, server: FakeServer) -> None:
    answer_usage(server, api.UsageAnswer(from_ms=0, half_life_ms=1, rows=(), lines=()))
    assert run("usage").err == "nothing has run in the last 7 days\n"
    answer_usage(server, replace(recorded.usage(), left_out=1_234))
    assert "1,234 more had less, and have nothing now" in run("usage").err


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("--weight", "2", "--max-gpus", "4"), ShareChange(weight=2, gpus=4)),
        (("--max-gpus", "none", "--max-tasks", "0"), ShareChange(gpus=-1, tasks=0)),
        (("--max-cpus", "64", "--max-memory", "256000"), ShareChange(cpus=64, memory_mb=256_000)),
        ((), ShareChange()),
    ],
)
def test_a_person_and_a_project_are_given_a_share(
    run: Run, server: FakeServer, words: tuple[str, ...], change: ShareChange
) -> None:
    server.answers[api.SetPerson] = lambda _fake, request: api.Done(text=f"{request.name} is set")
    assert run("person", "set", "ana", *words).out == "ana is set\n"
    assert run("project", "set", "pose", *words).code == 0
    assert server.asked[-2:] == [
        api.SetPerson(name="ana", share=change), api.SetProject(name="pose", share=change if words else None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("person", "set", "ana", "--max-gpus", "lots"), "lots is neither a whole number of GPUs nor none"),
        (("person", "set", "ana", "--weight", "x"), "argument --weight"),
        (("person", "give", "ana"), "'give' is none of set"),
        (("usage", "--days", "0"), "0 is too small: it is at least 1"),
        (("submit", "--max-parallel", "0", "--", "x"), "0 is too small: it is at least 1"),
    ],
)
def test_what_is_no_share_is_one_line(run: Run, server: FakeServer, words: tuple[str, ...], message: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err


def test_how_many_tasks_run_at_a_time_is_submitted(run: Run, server: FakeServer) -> None:
    assert run("submit", "--tasks", "200", "--max-parallel", "4", "--", "true").code == 0
    [asked] = [one for one in server.asked if isinstance(one, api.SubmitJobs)]
    assert (asked.submissions[0].spec.num_tasks, asked.submissions[0].spec.max_parallel) == (200, 4)


@pytest.mark.parametrize("verb", ["project", "person"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-gpus", "-1"), "-1 is neither a whole number of GPUs nor none"),
        (("--max-tasks", "1.5"), "1.5 is neither a whole number of tasks nor none"),
        (("--max-cpus", "9" * 30), "is neither a whole number of CPUs nor none"),
        (("--weight", "-1"), "a weight is at least 0.001 and at most 1000, not -1"),
        (("--weight", "1e-300"), "a weight is at least 0.001 and at most 1000, not 1e-300"),
        (("--weight", "nan"), "a weight is at least 0.001 and at most 1000, not nan"),
        (("--weight", "two"), "a weight is a number, such as 2 or 0.5, not 'two'"),
    ],
)
def test_a_share_that_means_nothing_is_refused_before_anybody_is_asked(
    run: Run, server: FakeServer, verb: str, words: tuple[str, ...], message: str
) -> None:
    ran = run(verb, "set", "ana", *words)
    assert ran.code == 2
    assert re.search(message, ran.err)
    assert not server.asked


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "--repeat"), ("submit", "--samples"), ("submit", "--priority"), ("submit", "--max-parallel"),
        ("submit", "--max-retries-failure"), ("submit", "--gpus"), ("usage", "--days"), ("pop",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", ["9" * 30, "99999999999999999999", "1e3", "x"])
def test_a_number_that_is_none_or_that_nobody_could_send_is_refused_in_words(
    run: Run, server: FakeServer, words: tuple[str, ...], number: str
) -> None:
    ran = run(*words, number)
    assert ran.code == 2
    assert re.search(r"is not a whole number|is too large", ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert not server.asked
