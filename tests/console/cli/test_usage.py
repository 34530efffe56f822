"""What every command line does alike: errors in one line, exit codes, quiet ends, a fast --help."""

import argparse
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_console.cli import build_parser
from opsconsole_console.cli.verb import COMMON, VERBS
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

_HEAVY = (
    "textual",
    "rich",
    "starlette",
    "uvicorn",
    "websockets",
    "sqlite3",
    "aiosqlite",
    "asyncio",
    "msgspec",
    "psutil",
)
_CONTRACT = [
    "run",
    "serve",
    "agent",
    "invite",
    "submit",
    "jobs",
    "workers",
    "projects",
    "templates",
    "show",
    "logs",
    "pause",
    "resume",
    "cancel",
    "retry",
    "hold",
    "release",
    "wait",
    "why",
    "worker",
]
_FLAGS = {
    "serve": "--listen --data-dir --tls --advertise",
    "agent": "--join --connect --token --name --state-dir --input-path --output-path --filesystem "
    "--max-concurrent-jobs --tag --stop-tasks --exit-when-empty",
    "invite": "--ttl --uses --name --tag --role",
    "submit": "--json --wait --follow --name --project --priority --tasks --worker --require --gpus --cpus --memory "
    "--input --after --after-failure --after-any --max-retries-failure --max-retries-preemption --timeout --grace --lost-after --workdir --env "
    "--template --set --sweep --fence-after",
    "run": "--name --project --priority --tasks --require --gpus --cpus --memory --input --timeout --grace --workdir --env",
    "logs": "-f --task --attempt --source --tail --start-line --grep --since",
    "jobs": "--json",
    "workers": "--json",
    "projects": "--json",
    "templates": "--json",
    "show": "--json",
}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from opsconsole_console.cli import main; code = main(['--help']);"
        f"print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(f"    {verb} " in done.stdout or f"    {verb}\n" in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_no_screen_and_no_server(verb: str) -> None:
    heavy = ("textual", "rich", "starlette", "uvicorn", "sqlite3", "websockets")
    code = (
        f"import sys; from opsconsole_console.cli import main; code = main([{verb!r}, '--help']);"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert verb in done.stdout


def test_no_verb_or_flag_of_the_contract_is_missing() -> None:
    assert set(_CONTRACT) <= set(VERBS)
    for verb, flags in _FLAGS.items():
        actions = build_parser([verb])._subparsers._group_actions[0].choices[verb]._actions  # type: ignore[union-attr, index]
        known = {option for action in actions for option in action.option_strings}
        assert set(flags.split()) <= known, verb


def test_a_port_that_is_taken_is_one_line_in_words(run: Run, server: FakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("forward", "7k3m9q2w4t", "web", str(port))
    said = f"127.0.0.1:{port} can't be listened on (Address already in use): choose another port"
    assert (ran.code, ran.err) == (1, f"opsconsole: {said}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset", ""], "the path is empty: name a file"),
        (["jbs"], "opsconsole: there is no command 'jbs': did you mean jobs?"),
        (["qqqq"], "opsconsole: there is no command 'qqqq': see opsconsole --help"),
        (["submit", "python", "x.py"], "opsconsole submit: unknown argument 'python': a command goes after --"),
        (["jobs", "--frob"], "opsconsole jobs: unknown argument '--frob': see opsconsole jobs --help"),
        (["jobs", "--limit", "0"], "argument -n/--limit: 0 is too small: it is at least 1"),
        (["jobs", "--lim", "1"], "unknown argument '--lim'"),
        (["submit"], "opsconsole: there is no command: give it after --"),
        (["jobs", "--", "x"], "a command after -- goes with submit, run, clone, exec or template set"),
        (["submit", "--memory", "8Q", "--", "x"], "'8Q' is not a size"),
        (["submit", "--metric-pattern", "", "--", "x"], "--metric-pattern is empty: leave it out"),
        (["submit", "--timeout", "soon", "--", "x"], "'soon' is not a duration"),
        (["submit", "--set", "lr", "--", "x"], "'lr' is not of the form NAME=VALUE"),
        (["invite", "--role", "king"], "'king' is none of"),
        (["worker", "explode", "gpu-a"], "'explode' is none of"),
        (["run", "--worker", "gpu-a", "--", "x"], "--worker goes with `opsconsole submit`"),
        (["run"], "there is no command"),
        (["exec", "7k3m9q2w4t"], "say what to run: opsconsole exec ID -- CMD…"),
        (["forward", "7k3m9q2w4t", "web", "99999"], "99999 is no port"),
        (["serve", "--connect", "x"], "serve starts a coordinator"),
        (["agent", "--join", "a", "--connect", "b"], "--join and --connect both"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, words: list[str], message: str, server: FakeServer) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""


def test_a_config_file_that_was_named_must_be_there(run: Run) -> None:
    ran = run("jobs", "--config", "/nowhere/c.toml")
    assert ran.code == 2
    assert "/nowhere/c.toml doesn't exist" in ran.err


def test_no_coordinator_is_one_line_and_exit_code_1(run: Run, tmp_path: Path) -> None:
    ran = run("jobs", "--data-dir", str(tmp_path))
    assert ran.code == 1
    assert re.fullmatch(r"opsconsole: no coordinator runs on .*: start `opsconsole` .*\n", ran.err)


def test_the_servers_error_is_one_line_and_debug_adds_the_traceback(run: Run, server: FakeServer) -> None:
    ran = run("show", "zz")
    assert (ran.code, ran.err) == (1, "opsconsole: there is no job zz\n")
    assert "Traceback" in run("show", "zz", "--debug").err


def test_control_characters_in_an_error_dont_reach_the_terminal(run: Run, server: FakeServer) -> None:
    assert "\x1b" not in run("show", "\x1b[31mzz").err


def test_a_fault_of_ours_is_one_line_too(run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_args: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("opsconsole_console.cli.listing.list_jobs", stumble)
    ran = run("jobs")
    assert (ran.code, ran.err) == (1, "opsconsole: internal error, please report it (ZeroDivisionError: oops)\n")


def test_without_a_terminal_the_console_says_what_to_use_instead(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "opsconsole_console"]
    environ = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "opsconsole serve" in done.stderr


def test_the_version(run: Run) -> None:
    ran = run("--version")
    assert ran.code == 0
    assert re.fullmatch(r"opsconsole \d+\.\d+\.\d+\n", ran.out)


def test_a_reader_that_leaves_early_is_no_error(server: FakeServer, tmp_path: Path) -> None:
    for number in range(3_000):
        server.add_job(f"{number:010}")
    command = f"{sys.executable} -m opsconsole_console jobs --limit 3000 | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "141"


def test_an_interruption_is_quiet(server: FakeServer) -> None:
    import signal

    from opsconsole_protocol.api import WaitJobs
    from tests.waiting import until_sync

    server.add_job("aaaaaaaaaa")
    child = subprocess.Popen(
        [sys.executable, "-m", "opsconsole_console", "wait", "aaaaaaaaaa"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until_sync(lambda: any(isinstance(one, WaitJobs) for one in server.asked), 30)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("started", ["", "trap '' INT; "], ids=["in a terminal", "by a script, behind it"])
@pytest.mark.parametrize(
    "words", [["wait", "aaaaaaaaaa"], ["submit", "--wait", "--", "x"], ["submit", "-q", "--follow", "--", "x"]]
)
def test_term_is_explained_where_something_is_watched(server: FakeServer, words: list[str], started: str) -> None:
    """Hard use 35: what was watched goes on, and whoever ended the watching reads how to find it again."""
    import signal

    from opsconsole_protocol.api import WaitJobs
    from tests.waiting import until_sync

    server.add_job("aaaaaaaaaa")
    child = subprocess.Popen(
        ["sh", "-c", f'{started}exec "$@"', "sh", sys.executable, "-m", "opsconsole_console", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until_sync(lambda: any(isinstance(one, WaitJobs) for one in server.asked), 30)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 143
    job_id = next(reversed(server.jobs))
    said = err.splitlines()[-1]
    assert said.startswith(f"{job_id} goes on: ")
    assert f"`opsconsole cancel {job_id}` ends" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--connect", "wss://lab:7373", "--", "hostname"], "--connect means nothing to `opsconsole run`"),
        (["--connect", "wss://lab:7373", "run", "--", "hostname"], "--connect means nothing to `opsconsole run`"),
        (["run", "--data-dir", "/x", "--", "true"], "--data-dir means nothing to `opsconsole run`"),
        (["run", "--token", "t", "--", "true"], "--token means nothing to `opsconsole run`"),
        (["run", "--config", "c", "--", "true"], "--config means nothing to `opsconsole run`"),
        (["serve", "--token", "t"], "--token means nothing to `opsconsole serve`"),
        (["config", "path", "--connect", "wss://x:1"], "--connect means nothing to `opsconsole config`"),
        (["coordinators", "--data-dir", "/x"], "--data-dir means nothing to `opsconsole coordinators`"),
        (["jobs", "--connect", "wss://x:1", "--data-dir", "/x"], "--connect and --data-dir both say which"),
        (["--listen", "0.0.0.0:1", "jobs"], "--listen before a command means nothing"),
        (["--read-only", "cancel", "x"], "--read-only before a command means nothing"),
        (["--name=x", "submit", "--", "true"], "--name before a command means nothing"),
        (["submit", "--dry-run", "--wait", "--", "true"], "--dry-run and --wait exclude each other"),
        (["submit", "--raw", "--", "true"], "--raw is about the log that --follow prints"),
        (["logs", "x", "--json", "--raw"], "--json and --raw exclude each other"),
        (["agent", "--join", "a", "--token", "t"], "--join and --token exclude each other"),
        (["template", "show", "x", "--param", "a"], "--param goes with `template set`"),
        (["template", "sync", "x", "y"], "y goes with `template from-job`"),
    ],
)
def test_what_would_be_ignored_is_refused(run: Run, words: list[str], message: str, server: FakeServer) -> None:
    """Hard use 28."""
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_every_verb_is_judged_by_the_table() -> None:
    """A verb that uses no client must say in the table which common options it uses."""
    from pathlib import Path

    import opsconsole_console.cli as cli

    folder = Path(cli.__file__).parent
    asks = {
        name
        for name, verb in VERBS.items()
        if any(one in (folder / f"{verb.module}.py").read_text() for one in ("with_client", "submit_spec"))
    }
    told = {name for name, verb in VERBS.items() if verb.uses != COMMON}
    assert told == set(VERBS) - asks - {"agent"}
    assert {name for name, verb in VERBS.items() if verb.why} == told


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("get", "j", "--to", "d", "a", "--force", "b"), {"id": "j", "patterns": ["a", "b"], "force": True}),
        (("put", "a", "--force", "w"), {"files": ["a", "w"]}),
        (("jobs", "state=failed", "--json", "name=x"), {"filter": ["state=failed", "name=x"]}),
        (("transfers", "forget", "--json", "x"), {"action": "forget", "id": "x"}),
    ],
)
def test_options_may_stand_between_arguments(words: tuple[str, ...], taken: dict[str, object]) -> None:
    found = vars(build_parser(words).parse_args(list(words)))
    assert taken.items() <= found.items()


def test_help_has_every_form_of_an_input(run: Run) -> None:
    said = " ".join(run("submit", "--help").out.split())
    assert "NAME in its input folder, LABEL:PATH in a mount of it, or a whole path" in said


def _choices() -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every verb that takes one of several words."""
    for verb in VERBS:
        (group,) = (one for one in build_parser([verb])._actions if isinstance(one, argparse._SubParsersAction))
        for action in group.choices[verb]._actions:
            if action.choices is not None and action.option_strings:
                yield verb, action


def test_a_word_that_is_no_choice_is_answered_with_the_words_that_are(run: Run) -> None:
    """It showed how the program calls them inside."""
    found = list(_choices())
    assert {"pause", "submit", "run"} <= {verb for verb, _ in found}
    for verb, action in found:
        ran = run(verb, f"{action.option_strings[0]}=nix")
        words = ", ".join(map(str, action.choices or ()))
        assert ran.code == 2, verb
        assert ran.err.endswith(f"argument {'/'.join(action.option_strings)}: 'nix' is none of {words}\n"), ran.err
        assert "<" not in ran.err
