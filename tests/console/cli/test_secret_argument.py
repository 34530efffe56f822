"""Which words of a command line are secrets (hard use 58)."""

import pytest

from opsconsole_console.cli.secret_argument import secrets_in

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["agent", "--token", TOKEN], [TOKEN]),
        (["agent", f"--token={TOKEN}"], [TOKEN]),
        (["agent", "--join", f"ws://h:1#-.abcdefgh.{TOKEN}"], [f"ws://h:1#-.abcdefgh.{TOKEN}"]),
        (["--connect", f"wss://h:1#00.abcdefgh.{TOKEN}"], [TOKEN]),
        (["--connect", "wss://h.example.org:1#00"], []),
        (["--connect", "wss://h.example.org:1"], []),
        (["jobs", "--token"], []),
        (["jobs", "--token", "short"], []),
        (["submit", "--name", TOKEN], []),
        (["dataset", f"s3://ana:{TOKEN}@bucket/a.csv"], [f"ana:{TOKEN}"]),
        (["dataset", f"https://h/a@b.csv?signature={TOKEN}"], [f"signature={TOKEN}"]),
        (["submit", "--dataset", f"t=https://h/a.csv?signature={TOKEN}"], [f"signature={TOKEN}"]),
        (["submit", f"--dataset=t=s3://b/a.csv?versionId={TOKEN}"], [f"versionId={TOKEN}"]),
        (["dataset", "hf://datasets/ana/digits@0123456789abcdef"], []),
    ],
)
def test_secrets_in_words(words: list[str], found: list[str]) -> None:
    assert secrets_in(words, {}) == found


def test_secrets_in_the_environment() -> None:
    assert secrets_in([], {"OPSCONSOLE_TOKEN": TOKEN, "OPSCONSOLE_URL": TOKEN}) == [TOKEN]
