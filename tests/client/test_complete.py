"""What the command line can, the client can: each verb has its method, or a reason why it has none; and all is there without `await`."""

import inspect

import pytest

from opsconsole import Client, SyncClient
from opsconsole.mirror import Plain, PlainContext, PlainIterator
from opsconsole_console.cli.verb import VERBS

METHODS = {
    "submit": "submit",
    "clone": "clone",
    "jobs": "jobs",
    "workers": "workers",
    "projects": "projects",
    "templates": "templates",
    "show": "show",
    "logs": "follow_log",
    "put": "put",
    "get": "get",
    "graph": "graph",
    "ls": "ls",
    "dataset": "dataset",
    "exec": "exec",
    "forward": "forward",
    "metrics": "metrics",
    "compare": "metrics",
    "pause": "pause",
    "resume": "resume",
    "cancel": "cancel",
    "retry": "retry",
    "hold": "hold",
    "release": "release",
    "priority": "set_priority",
    "move": "move",
    "pop": "pop",
    "clear": "clear",
    "max-parallel": "set_max_parallel",
    "add": "add_tasks",
    "wait": "wait",
    "why": "why",
    "worker": "set_worker",
    "reserve": "reserve",
    "remove": "remove",
    "clean": "clean",
    "invite": "invite",
    "people": "people",
    "project": "set_project",
    "person": "set_person",
    "usage": "usage",
    "template": "set_template",
    "events": "events",
    "health": "health",
    "backup": "backup",
    "confirm-restore": "confirm_restore",
    "agent": "work",
}
REASONS = {
    "run": "it is a coordinator of its own",
    "serve": "it is a coordinator",
    "service": "it is about this machine's init system",
    "config": "it is about a file of this machine",
    "coordinator": "it is about a file of this machine",
    "coordinators": "it is about a file of this machine",
    "filter": "it is about a file of this machine",
    "filters": "it is about a file of this machine",
    "notify": "it is for who looks after the coordinator",
    "shell": "it is about this terminal",
    "transfers": "what moves for a client is in the client: `put` and `get` return when it has moved",
}
NOT_PLAIN = {"close", "connect", "open", "work"}
"""What a SyncClient has in its own way."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_method_or_a_reason_to_have_none(verb: str) -> None:
    assert (verb in METHODS) != (verb in REASONS), "give the client a method for it, and name it here"
    if verb in METHODS:
        assert inspect.getdoc(getattr(Client, METHODS[verb])), METHODS[verb]


def test_the_table_names_no_verb_that_is_gone() -> None:
    assert not (METHODS.keys() | REASONS.keys()) - VERBS.keys()


def test_work_takes_the_same_arguments_without_await() -> None:
    own = dict(inspect.signature(Client.work).parameters)
    own.pop("departure")  # which it makes itself
    assert own == dict(inspect.signature(SyncClient.work).parameters)


def test_every_method_is_there_without_await() -> None:
    own = {name for name in dir(Client) if not name.startswith("_") and callable(getattr(Client, name))} - NOT_PLAIN
    twins = {
        name: twin.method
        for name, twin in vars(SyncClient).items()
        if isinstance(twin, Plain | PlainIterator | PlainContext)
    }
    assert own == twins.keys()
    assert all(method is getattr(Client, name) for name, method in twins.items())
