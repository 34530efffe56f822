"""Who gets in, by what, and who is turned away, with real agents and command lines over TLS."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsconsole_coordinator.trust.certificate import ensure_certificate, server_context
from opsconsole_protocol.trust.invitation import parse_join_line
from tests.process.lab import Lab, lab
from tests.seen_process import everyone


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A coordinator that listens on every address, with TLS."""
    with lab(tmp_path_factory.mktemp("trust")) as made:
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


def test_an_invitation_lets_one_worker_in_for_good(shared_lab: Lab) -> None:
    done = shared_lab.run("invite", "--name", "gpu-a", "--tag", "zone=b")
    line = re.fullmatch(r"opsconsole agent --join '(wss://.*)'\n", done.stdout)
    assert line is not None, done.stdout
    invitation = parse_join_line(line[1])
    assert invitation.url == f"wss://127.0.0.1:{shared_lab.port}"
    agent = shared_lab.start("gpu-a", "agent", "--join", line[1], "--state-dir", str(shared_lab.state_dir("gpu-a")))
    shared_lab.wait_connected("gpu-a")
    first = shared_lab.worker("gpu-a")
    assert first["tags"] == ["zone=b"]

    assert "the invitation was used already" in turned_away(shared_lab, "second", "--join", line[1])

    shared_lab.kill(agent)
    shared_lab.wait(
        lambda: "gpu-a" in [one.name for one in shared_lab.ask(lambda client: client.workers())], "the worker"
    )
    address = f"{invitation.url}#{invitation.certificate_hash}"
    again = shared_lab.agent("gpu-a", "--connect", address, join=False)  # no invitation any more: it has a credential
    shared_lab.wait(lambda: shared_lab.said("gpu-a").count("connected to") == 2, "the agent's return")
    assert shared_lab.worker("gpu-a")["id"] == first["id"]

    shared_lab.run("worker", "revoke", "gpu-a")
    assert shared_lab.wait_ended(again) == 1
    assert "revoked" in shared_lab.said("gpu-a").splitlines()[-1]
    assert shared_lab.wait_ended(shared_lab.agent("gpu-a", "--connect", address, join=False)) == 1
    assert "the token was revoked" in shared_lab.said("gpu-a").splitlines()[-1]
    assert_no_secrets(shared_lab, invitation.secret)


def test_an_expired_invitation_is_refused(shared_lab: Lab) -> None:
    line = shared_lab.run("invite", "--ttl", "1ms").stdout.split("'")[1]
    assert "the invitation has expired" in turned_away(shared_lab, "late", "--join", line)
    assert "the invitation has expired" in shared_lab.run("jobs", "--connect", line, code=1).stderr


def test_a_wrong_token_is_one_line_that_does_not_repeat_it(shared_lab: Lab) -> None:
    address = f"wss://127.0.0.1:{shared_lab.port}#{shared_lab.endpoint['certificate_hash']}"
    said = turned_away(shared_lab, "wrong", "--connect", address, "--token", "open-sesame")
    assert "neither an invitation nor the operator's" in said
    done = shared_lab.run("jobs", "--connect", address, "--token", "open-sesame", code=1)
    assert "the token is not valid here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "open-sesame" not in said + done.stderr + shared_lab.said("serve")
    without = turned_away(shared_lab, "without", "--connect", address)
    assert "opsconsole invite" in without
    operator = shared_lab.invite("operator")
    assert "for operators" in turned_away(shared_lab, "person", "--join", operator)


def test_a_cut_line_is_told_from_a_wrong_one(shared_lab: Lab) -> None:
    line = shared_lab.invite()
    cut = shared_lab.agent("cut", "--join", line[:-10], join=False)
    assert shared_lab.wait_ended(cut) in {1, 2}
    assert "42 of 52 characters" in shared_lab.said("cut")
    wrong = line[:-8] + ("0" * 8 if not line.endswith("0" * 8) else "1" * 8)
    assert "the invitation is not known here" in turned_away(shared_lab, "wrong-secret", "--join", wrong)


def test_another_certificate_never_sees_the_secret(shared_lab: Lab, tmp_path: Path) -> None:
    line = shared_lab.invite()
    with impostor(tmp_path) as (port, heard):
        false = line.replace(f":{shared_lab.port}#", f":{port}#")
        said = turned_away(shared_lab, "fooled", "--join", false)
        assert "certificate" in said
        assert parse_join_line(line).secret not in said
        refused = shared_lab.run(
            "jobs", "--connect", shared_lab.invite("viewer").replace(f":{shared_lab.port}#", f":{port}#"), code=1
        )
        assert "certificate" in refused.stderr
        shared_lab.wait(lambda: len(heard) == 2, "both connections to end")
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


def test_people_come_by_the_same_kind_of_line_and_reach_as_far_as_their_role(shared_lab: Lab) -> None:
    viewer, operator = shared_lab.invite("viewer"), shared_lab.invite("operator")
    for role, line in (("viewer", viewer), ("operator", operator)):
        person = {"HOME": str(shared_lab.folder / role)}
        address = line.rpartition(".")[0].rpartition(".")[0]
        done = shared_lab.run("submit", "--connect", line, "--hold", "--", "true", code=None, environ=person)
        if role == "viewer":
            assert (done.returncode, done.stdout) == (1, "")
            assert "this needs the role operator, and you are viewer" in done.stderr.splitlines()[-1]
        else:
            assert done.returncode == 0
            job_id = done.stdout.strip()
            assert shared_lab.job(job_id)["submitted_by"].startswith("operator")
            shared_lab.run("cancel", "--connect", address, job_id, environ=person)  # from now on the address will do
            shared_lab.wait_state(job_id, "killed")
        assert shared_lab.run("jobs", "--connect", address, environ=person).returncode == 0
        refused = shared_lab.run("invite", "--connect", address, code=1, environ=person)
        assert "needs the role admin" in refused.stderr
        stranger = shared_lab.run(
            "jobs", "--connect", line, code=1, environ={"HOME": str(shared_lab.folder / "stranger")}
        )
        assert "used already" in stranger.stderr


def test_two_workers_with_one_name_are_told_apart(shared_lab: Lab) -> None:
    shared_lab.agent("twin", "--join", shared_lab.invite())
    other = shared_lab.start(
        "other",
        "agent",
        "--name",
        "twin",
        "--state-dir",
        str(shared_lab.state_dir("other")),
        "--join",
        shared_lab.invite(),
    )
    assert shared_lab.wait_ended(other) == 1
    assert "there is a worker named twin already" in shared_lab.said("other")
    assert shared_lab.worker("twin")["connection"] == "connected"


def test_a_copied_state_folder_is_refused_while_the_original_lives(shared_lab: Lab) -> None:
    shared_lab.agent("original", "--join", shared_lab.invite())
    (shared_lab.folder / "count").touch()
    job_id = shared_lab.give(
        "while :; do echo >> $LAB/count; sleep 0.05; done",
        worker="original",
        environment={"LAB": str(shared_lab.folder)},
    )
    shared_lab.wait_state(job_id, "running")
    same = shared_lab.agent("same", "--state-dir", str(shared_lab.state_dir("original")), join=False)
    assert shared_lab.wait_ended(same) == 1
    assert "another agent runs with this state folder" in shared_lab.said("same")

    subprocess.run(("cp", "-a", shared_lab.state_dir("original"), shared_lab.state_dir("clone")), check=True)
    address = f"wss://127.0.0.1:{shared_lab.port}#{shared_lab.endpoint['certificate_hash']}"
    clone = shared_lab.agent("clone", "--connect", address, join=False)
    shared_lab.wait(lambda: "was its state folder copied?" in shared_lab.said("clone"), "the clone to be refused")
    assert shared_lab.worker("original")["connection"] == "connected"
    shared_lab.kill(clone)
    before = (shared_lab.folder / "count").stat().st_size
    shared_lab.wait(lambda: (shared_lab.folder / "count").stat().st_size > before, "the task to go on")
    assert shared_lab.job(job_id)["tasks"][0]["attempt"] == 0
    shared_lab.act("cancel", job_id)
    assert len(shared_lab.wait_state(job_id, "killed")["tasks"][0]["attempts"]) == 1
    shutil.rmtree(shared_lab.state_dir("clone"))


def assert_no_secrets(lab: Lab, *others: str) -> None:
    """No secret stands in an argument list, or in what the processes said."""
    token = (lab.data_dir / "operator.token").read_text().strip()
    told = [path.read_text(errors="replace") for path in lab.folder.glob("*.log")]
    told += [" ".join(process.command) for process in everyone()]
    for secret in (token, *others):
        assert not any(secret in text for text in told)


def test_a_secret_in_the_arguments_or_the_environment_is_not_there_to_read(shared_lab: Lab) -> None:
    """Hard use 58: `/proc/PID/cmdline` is everybody's, and a task's user is its agent's."""
    token, line = (shared_lab.data_dir / "operator.token").read_text().strip(), shared_lab.invite()
    address = f"wss://127.0.0.1:{shared_lab.port}#{shared_lab.endpoint['certificate_hash']}"
    agents = [
        shared_lab.agent("by-flag", "--connect", address, "--token", token),
        shared_lab.agent("by-equals", "--connect", address, f"--token={token}"),
        shared_lab.agent("by-line", "--join", line),
        shared_lab.agent("by-connect", "--connect", shared_lab.invite()),
        shared_lab.agent("by-environment", "--connect", address, environ={"OPSCONSOLE_TOKEN": token}),
    ]
    secret = line.rpartition(".")[2]
    for agent in agents:
        seen = [Path(f"/proc/{agent.pid}/{name}").read_bytes().decode() for name in ("cmdline", "environ")]
        assert not any(one in text for text in seen for one in (token, secret))
    assert "xxxxxxxx" in Path(f"/proc/{agents[0].pid}/cmdline").read_text()
    job_id = shared_lab.give("cat /proc/$PPID/environ /proc/*/cmdline; env", worker="by-environment")
    shared_lab.wait_state(job_id, "succeeded", "failed")
    assert not any(token in text for text in shared_lab.lines(job_id))


def test_the_operators_token_is_nowhere_to_be_seen(shared_lab: Lab) -> None:
    assert (shared_lab.data_dir / "operator.token").stat().st_mode & 0o077 == 0
    assert shared_lab.data_dir.stat().st_mode & 0o077 == 0
    shared_lab.agent("quiet")
    job_id = shared_lab.give("env; cat /proc/$PPID/environ", worker="quiet")
    shared_lab.wait_state(job_id, "succeeded", "failed")
    token = (shared_lab.data_dir / "operator.token").read_text().strip()
    assert not any(token in line for line in shared_lab.lines(job_id))
    assert_no_secrets(shared_lab)
