"""Who gets in, by which door, and who is turned away, with real agents and command lines over TLS."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from opsconsole_coordinator.trust.certificate import ensure_certificate, server_context
from opsconsole_protocol.trust.invitation import parse_join_line
from tests.process.lab import Lab, lab


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A coordinator that listens on every address, with TLS."""
    with lab(tmp_path_factory.mktemp("door")) as made:
        port = free_port()
        made.serve("--advertise", f"127.0.0.1:{port}", listen=f"0.0.0.0:{port}")
        yield made


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def turned_away(lab: Lab, name: str, *arguments: str) -> str:
    """Start an agent that isn't let in; what it says after its I/O paths, which is one line and no traceback."""
    agent = lab.agent(name, *arguments, join=False)
    assert lab.wait_ended(agent) == 1
    said = lab.said(name)
    first, *rest = said.splitlines()
    assert first.startswith("I/O paths: ")
    assert len(rest) == 1, said
    assert lab.worker(name) == {}
    return rest[0]


def test_an_invitation_lets_one_worker_in_for_good(door: Lab) -> None:
    done = door.run("invite", "--name", "gpu-a", "--tag", "zone=b")
    line = re.fullmatch(r"opsconsole agent --join '(wss://.*)'\n", done.stdout)
    assert line is not None, done.stdout
    invitation = parse_join_line(line[1])
    assert invitation.url == f"wss://127.0.0.1:{door.port}"
    agent = door.start("gpu-a", "agent", "--join", line[1], "--state-dir", str(door.state_dir("gpu-a")))
    door.wait_connected("gpu-a")
    first = door.worker("gpu-a")
    assert first["tags"] == ["zone=b"]

    assert "the invitation was used already" in turned_away(door, "second", "--join", line[1])

    door.kill(agent)
    door.wait(lambda: "gpu-a" in [one.name for one in door.ask(lambda client: client.workers())], "the worker")
    address = f"{invitation.url}#{invitation.certificate_hash}"
    again = door.agent("gpu-a", "--connect", address, join=False)  # no invitation any more: it has a credential
    door.wait(lambda: door.said("gpu-a").count("connected to") == 2, "the agent's return")
    assert door.worker("gpu-a")["id"] == first["id"]

    door.run("worker", "revoke", "gpu-a")
    assert door.wait_ended(again) == 1
    assert "revoked" in door.said("gpu-a").splitlines()[-1]
    assert door.wait_ended(door.agent("gpu-a", "--connect", address, join=False)) == 1
    assert "the token was revoked" in door.said("gpu-a").splitlines()[-1]
    assert_no_secrets(door, invitation.secret)


def test_an_expired_invitation_is_refused(door: Lab) -> None:
    line = door.run("invite", "--ttl", "1ms").stdout.split("'")[1]
    assert "the invitation has expired" in turned_away(door, "late", "--join", line)
    assert "the invitation has expired" in door.run("jobs", "--connect", line, code=1).stderr


def test_a_wrong_token_is_one_line_that_does_not_repeat_it(door: Lab) -> None:
    address = f"wss://127.0.0.1:{door.port}#{door.endpoint['certificate_hash']}"
    said = turned_away(door, "wrong", "--connect", address, "--token", "open-sesame")
    assert "neither an invitation nor the operator's" in said
    done = door.run("jobs", "--connect", address, "--token", "open-sesame", code=1)
    assert "the token is not valid here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "open-sesame" not in said + done.stderr + door.said("serve")
    without = turned_away(door, "without", "--connect", address)
    assert "opsconsole invite" in without
    operator = door.invite("operator")
    assert "for operators" in turned_away(door, "person", "--join", operator)


def test_a_cut_line_is_told_from_a_wrong_one(door: Lab) -> None:
    line = door.invite()
    cut = door.agent("cut", "--join", line[:-10], join=False)
    assert door.wait_ended(cut) in {1, 2}
    assert "42 of 52 characters" in door.said("cut")
    wrong = line[:-8] + ("0" * 8 if not line.endswith("0" * 8) else "1" * 8)
    assert "the invitation is not known here" in turned_away(door, "wrong-secret", "--join", wrong)


def test_another_certificate_never_sees_the_secret(door: Lab, tmp_path: Path) -> None:
    line = door.invite()
    with impostor(tmp_path) as (port, heard):
        false = line.replace(f":{door.port}#", f":{port}#")
        said = turned_away(door, "fooled", "--join", false)
        assert "certificate" in said
        assert parse_join_line(line).secret not in said
        refused = door.run("jobs", "--connect", door.invite("viewer").replace(f":{door.port}#", f":{port}#"), code=1)
        assert "certificate" in refused.stderr
        door.wait(lambda: len(heard) == 2, "both connections to end")
    assert heard == [b"", b""]


@contextmanager
def impostor(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A TLS server with a certificate of its own; what each connection sent to it before it ended."""
    context = server_context(ensure_certificate(folder, ["127.0.0.1"]))
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.settimeout(20)
                try:
                    with context.wrap_socket(connection, server_side=True) as secured:
                        heard.append(secured.recv(65536))
                except (ssl.SSLError, ConnectionError):
                    heard.append(b"")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


def test_people_come_by_the_same_kind_of_line_and_reach_as_far_as_their_role(door: Lab) -> None:
    viewer, operator = door.invite("viewer"), door.invite("operator")
    for role, line in (("viewer", viewer), ("operator", operator)):
        person = {"HOME": str(door.folder / role)}
        address = line.rpartition(".")[0].rpartition(".")[0]
        done = door.run("submit", "--connect", line, "--hold", "--", "true", code=None, environ=person)
        if role == "viewer":
            assert (done.returncode, done.stdout) == (1, "")
            assert "this needs the role operator, and you are viewer" in done.stderr.splitlines()[-1]
        else:
            assert done.returncode == 0
            job_id = done.stdout.strip()
            assert door.job(job_id)["submitted_by"].startswith("operator")
            door.run("cancel", "--connect", address, job_id, environ=person)  # from now on the address will do
            door.wait_state(job_id, "killed")
        assert door.run("jobs", "--connect", address, environ=person).returncode == 0
        refused = door.run("invite", "--connect", address, code=1, environ=person)
        assert "needs the role admin" in refused.stderr
        stranger = door.run("jobs", "--connect", line, code=1, environ={"HOME": str(door.folder / "stranger")})
        assert "used already" in stranger.stderr


def test_two_workers_with_one_name_are_told_apart(door: Lab) -> None:
    door.agent("twin", "--join", door.invite())
    other = door.start(
        "other", "agent", "--name", "twin", "--state-dir", str(door.state_dir("other")), "--join", door.invite()
    )
    assert door.wait_ended(other) == 1
    assert "there is a worker named twin already" in door.said("other")
    assert door.worker("twin")["connection"] == "connected"


def test_a_copied_state_folder_is_refused_while_the_original_lives(door: Lab) -> None:
    door.agent("original", "--join", door.invite())
    (door.folder / "count").touch()
    job_id = door.give(
        "while :; do echo >> $LAB/count; sleep 0.05; done", worker="original", environment={"LAB": str(door.folder)}
    )
    door.wait_state(job_id, "running")
    same = door.agent("same", "--state-dir", str(door.state_dir("original")), join=False)
    assert door.wait_ended(same) == 1
    assert "another agent runs with this state folder" in door.said("same")

    subprocess.run(("cp", "-a", door.state_dir("original"), door.state_dir("clone")), check=True)
    address = f"wss://127.0.0.1:{door.port}#{door.endpoint['certificate_hash']}"
    clone = door.agent("clone", "--connect", address, join=False)
    door.wait(lambda: "was its state folder copied?" in door.said("clone"), "the clone to be refused")
    assert door.worker("original")["connection"] == "connected"
    door.kill(clone)
    before = (door.folder / "count").stat().st_size
    door.wait(lambda: (door.folder / "count").stat().st_size > before, "the task to go on")
    assert door.job(job_id)["tasks"][0]["attempt"] == 0
    door.act("cancel", job_id)
    assert len(door.wait_state(job_id, "killed")["tasks"][0]["attempts"]) == 1
    shutil.rmtree(door.state_dir("clone"))


def assert_no_secrets(lab: Lab, *others: str) -> None:
    """No secret stands in an argument list, or in what the processes said."""
    token = (lab.data_dir / "operator.token").read_text().strip()
    told = [path.read_text(errors="replace") for path in lab.folder.glob("*.log")]
    told += [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    for secret in (token, *others):
        assert not any(secret in text for text in told)


def test_a_secret_in_the_arguments_or_the_environment_is_not_there_to_read(door: Lab) -> None:
    """Hard use 58: `/proc/PID/cmdline` is everybody's, and a task's user is its agent's."""
    token, line = (door.data_dir / "operator.token").read_text().strip(), door.invite()
    address = f"wss://127.0.0.1:{door.port}#{door.endpoint['certificate_hash']}"
    agents = [
        door.agent("by-flag", "--connect", address, "--token", token),
        door.agent("by-equals", "--connect", address, f"--token={token}"),
        door.agent("by-line", "--join", line),
        door.agent("by-connect", "--connect", door.invite()),
        door.agent("by-environment", "--connect", address, environ={"OPSCONSOLE_TOKEN": token}),
    ]
    secret = line.rpartition(".")[2]
    for agent in agents:
        seen = [Path(f"/proc/{agent.pid}/{name}").read_bytes().decode() for name in ("cmdline", "environ")]
        assert not any(one in text for text in seen for one in (token, secret))
    assert "xxxxxxxx" in Path(f"/proc/{agents[0].pid}/cmdline").read_text()
    job_id = door.give("cat /proc/$PPID/environ /proc/*/cmdline; env", worker="by-environment")
    door.wait_state(job_id, "succeeded", "failed")
    assert not any(token in text for text in door.lines(job_id))


def test_the_operators_token_is_nowhere_to_be_seen(door: Lab) -> None:
    assert (door.data_dir / "operator.token").stat().st_mode & 0o077 == 0
    assert door.data_dir.stat().st_mode & 0o077 == 0
    door.agent("quiet")
    job_id = door.give("env; cat /proc/$PPID/environ", worker="quiet")
    door.wait_state(job_id, "succeeded", "failed")
    token = (door.data_dir / "operator.token").read_text().strip()
    assert not any(token in line for line in door.lines(job_id))
    assert_no_secrets(door)
