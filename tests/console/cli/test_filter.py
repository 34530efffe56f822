"""Filters that are saved by name."""

import json

from opsconsole_protocol import api
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run


def test_a_filter_is_saved_used_narrowed_and_removed(run: Run, server: FakeServer) -> None:
    assert "no filter is saved" in run("filters").err
    assert run("filter", "save", "mine", "user=ana", "state=failed").code == 0
    assert [json.loads(line) for line in run("filters", "--json").out.splitlines()] == [
        {"name": "mine", "filter": "user=ana state=failed", "inverted": False}
    ]
    assert run("jobs", "--saved", "mine", "name~x").code == 0
    assert api.ListJobs(filter="user=ana state=failed name~x", limit=101) in server.asked
    assert run("filter", "remove", "mine").code == 0
    assert run("filters").out == ""


def test_what_cant_be_saved_or_isnt_there_is_said(run: Run, server: FakeServer) -> None:
    for words, message in (
        (("filter", "save", "a b", "user=ana"), "'a b' is no name for a filter"),
        (("filter", "save", "x", "nix=1"), "a job has no field nix"),
        (("filter", "save", "x", "a" * 1_001), "more than 1,000 characters"),
        (("filter", "save", "x"), "write `filter save NAME FILTER…`"),
        (("filter", "remove", "x"), "no filter is saved as 'x'"),
        (("jobs", "--saved", "x"), "no filter is saved as 'x'"),
    ):
        ran = run(*words)
        assert ran.code, words
        assert message in ran.err
        assert ran.err.count("\n") == 1
    for number in range(50):
        assert run("filter", "save", f"f{number}", "x").code == 0
    assert "50 filters are saved already" in run("filter", "save", "one-more", "x").err


def test_a_damaged_file_is_one_line(run: Run, server: FakeServer) -> None:
    from opsconsole_console.service import saved_filter

    saved_filter.save("x", "y")
    saved_filter._path().write_text("{")
    assert "is damaged: remove it" in run("filters").err
