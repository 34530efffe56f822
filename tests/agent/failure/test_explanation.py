"""Why programs failed, by what they printed last; and what must not mislead."""

import pytest

from opsconsole_agent.failure.explanation import WORDS_CHARACTERS_MAX, explain
from opsconsole_agent.failure.last_lines import LAST_BYTES_MAX, Printed, Tail, secret_variables
from opsconsole_protocol.ids import AttemptId
from tests.agent.failure.printed import CAUGHT, FAILURES, MISLEADING, ON_STDERR, TRACEBACK, Sample
from tests.hostile_text import TABLE

A = AttemptId("7k3m.0.0.x")


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_in_words(name: str) -> None:
    sample: Sample = FAILURES[name]
    found = explain(Printed(stderr=Tail(sample.stderr.encode())), sample.status)
    assert found is not None
    assert found.words == sample.told
    assert sample.hint in found.hint
    assert found.cause == sample.cause


@pytest.mark.parametrize("name", FAILURES)
def test_it_is_told_of_standard_output_too_and_after_other_output(name: str) -> None:
    sample: Sample = FAILURES[name]
    before = "epoch 1 loss 0.3\n" + CAUGHT + "INFO going on\n"
    found = explain(Printed(stdout=Tail((before + sample.stderr).encode())), sample.status)
    assert found is not None
    assert found.words == sample.told


@pytest.mark.parametrize("name", ON_STDERR)
def test_what_only_sounds_bad_is_quoted_of_standard_error_alone(name: str) -> None:
    sample: Sample = ON_STDERR[name]
    found = explain(Printed(stderr=Tail(sample.stderr.encode())), sample.status)
    assert found is not None
    assert found.words == sample.told
    assert explain(Printed(stdout=Tail(sample.stderr.encode())), sample.status) is None


@pytest.mark.parametrize("name", MISLEADING)
def test_what_was_said_before_the_end_is_not_told(name: str) -> None:
    status, text = MISLEADING[name]
    assert explain(Printed(stderr=Tail(text.encode())), status) is None


def test_a_line_of_standard_output_is_quoted_where_it_says_that_it_is_an_error() -> None:
    for line, told in {
        "ERROR: no split 'test'": True,
        "2026-11-27 12:00:00,1 ERROR no split 'test'": True,
        "Error: no split": True,
        "mse error 3": False,
        "Error: 0.3": False,
        "not improved for 3 epochs": False,
    }.items():
        assert (explain(Printed(stdout=Tail(line.encode())), 1) is not None) is told, line


def test_what_was_said_long_before_the_other_source_fell_silent_is_not_told() -> None:
    old = Tail((TRACEBACK + "ValueError: bad shard\n").encode(), at_ms=1_000)
    assert explain(Printed(stderr=old, stdout=Tail(b"shard 4\n", at_ms=60_000)), 1) is None
    assert explain(Printed(stderr=old, stdout=Tail(b"shard 4\n", at_ms=1_200)), 1) is not None


SECRETS = {
    "HF_TOKEN": "hunter2",
    "DSN_URL": "x",
    "DATA": "/data/imagenet",
    "KEY_FILE": "-----BEGIN\nMIIEvQIBADANBgkqh\n-----END",
    "N": "8",
}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ValueError: bad token hunter2", "bad token $HF_TOKEN"),
        ("ValueError: bad token hun\x1b[1mter\x1b[0m2", "bad token $HF_TOKEN"),
        ("ValueError: no MIIEvQIBADANBgkqh here", "no $KEY_FILE here"),
        ("ValueError: cannot reach https://ana:pa55@host/x", "cannot reach https://…@host/x"),
        ("ValueError: no /data/imagenet/a.csv", "no $DATA/a.csv"),
        (f"ValueError: not taken: {A}.{'0f' * 32}", f"not taken: {A}.…"),
        ("ValueError: 8 of 8", "8 of 8"),
    ],
)
def test_no_secret_is_told(line: str, told: str) -> None:
    printed = Printed(stderr=Tail((TRACEBACK + line + "\n").encode()), secrets=secret_variables({}, SECRETS))
    found = explain(printed, 1)
    assert found is not None
    assert told in found.words


def test_a_secret_of_which_only_the_end_was_read_is_not_told() -> None:
    line = b"Error: " + b"s3cret" * 20_000
    assert explain(Printed(stderr=Tail(line[-LAST_BYTES_MAX:]), secrets={"API_KEY": "s3cret" * 20_000}), 1) is None


def test_of_the_agents_own_variables_only_secrets_are_hidden() -> None:
    own = {
        "PWD": "/data/here",
        "OLDPWD": "/data/there",
        "AWS_SECRET_ACCESS_KEY": "wJalr",
        "HOME": "/home/somebody",
        "WANDB_API_KEY": "abcdef",
    }
    assert secret_variables(own, {"MODE": "train"}) == {"AWS_SECRET_ACCESS_KEY": "wJalr", "WANDB_API_KEY": "abcdef"}


HOSTILE = {
    "binary": bytes(range(256)) * 300,
    "a line without an end": b"x" * (10 << 20),
    "spaces": b" " * (1 << 20),
    "headers": b"Traceback (most recent call last):\n" * 5_000,
    "frames": (TRACEBACK * 1_000).encode(),
    "open brackets": b"terminate called after throwing an instance of '" + b"((((" * 20_000,
    "escapes": b"\x1b]0;" * 20_000,
    "groups": b"  | " * 20_000,
    "colons": b"a: " * 30_000 + b"\n" + b"line 3: " * 10_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [*HOSTILE, *TABLE])
def test_whatever_it_printed_is_read_in_bounded_time_and_told_in_one_line(name: str) -> None:
    data = HOSTILE.get(name) or f"{TRACEBACK}ValueError: {TABLE[name]}\n".encode("utf-8", "replace")
    for status in (1, 2, 127, 134, 137):
        found = explain(
            Printed(stderr=Tail(data[1 - LAST_BYTES_MAX :]), stdout=Tail(data[1 - LAST_BYTES_MAX :])), status
        )
        if found is not None:
            assert found.words.isprintable()
            assert len(found.words) < 2 * WORDS_CHARACTERS_MAX
