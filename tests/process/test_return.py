"""Who was let in once comes back without being told where: agents after a reboot, people in another shell (hard use 32, 33)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.trust.invitation import parse_join_line
from tests.process.lab import Lab, lab
from tests.process.test_trust import free_port

HERE = {"OPSCONSOLE_DATA_DIR": ""}
"""As on another machine, where no data folder is."""


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A coordinator that listens on every address, with TLS."""
    with lab(tmp_path_factory.mktemp("return")) as made:
        port = free_port()
        made.serve("--advertise", f"127.0.0.1:{port}", "--name", "bench-lab", listen=f"0.0.0.0:{port}")
        yield made


def test_an_agent_comes_back_without_a_flag_and_with_the_bare_address(shared_lab: Lab) -> None:
    line = shared_lab.invite()
    bare = parse_join_line(line).url  # an address without a hash, as it stands in a unit file
    for times, words in enumerate((("--join", line), (), ("--connect", bare)), 1):
        agent = shared_lab.agent("gpu-a", *words, environ=HERE, join=False)
        shared_lab.wait(lambda times=times: shared_lab.said("gpu-a").count("connected to") == times, f"start {times}")
        shared_lab.kill(agent)


def test_an_invitation_that_waits_in_the_state_folder_is_used_once_and_wiped(shared_lab: Lab) -> None:
    invitation = parse_join_line(shared_lab.invite())
    state = shared_lab.state_dir("gpu-b")
    state.mkdir(mode=0o700)
    kept = state / "coordinator.json"
    kept.write_text(
        json.dumps(
            {
                "url": invitation.url,
                "certificate_hash": invitation.certificate_hash,
                "invitation": invitation.token,
            }
        )
    )
    kept.chmod(0o600)
    shared_lab.agent("gpu-b", environ=HERE)
    shared_lab.wait(lambda: invitation.secret not in kept.read_text(), "the invitation to be wiped")


def test_a_person_names_the_coordinator_once(shared_lab: Lab, tmp_path: Path) -> None:
    shared_lab.agent("gpu-c", "--join", shared_lab.invite(), environ=HERE)
    own = HERE | {"HOME": str(tmp_path)}
    line = shared_lab.invite("operator", name="ada")
    first = shared_lab.run("jobs", "--connect", line, environ=own)
    assert "this coordinator is kept as bench-lab: what commands use from now on" in first.stderr
    assert "gpu" in shared_lab.run("workers", environ=own).stdout
    rows = [json.loads(text) for text in shared_lab.run("coordinators", "--json", environ=own).stdout.splitlines()]
    assert [(row["name"], row["default"], row["role"]) for row in rows] == [
        ("bench-lab", True, "operator"),
        ("local", False, ""),
    ]
    shared_lab.run("coordinator", "rename", "bench-lab", "lab", environ=own)
    assert "gpu" in shared_lab.run("workers", "--connect", "lab", environ=own).stdout
    shared_lab.run("coordinator", "use", "local", environ=own)
    assert "no coordinator runs on" in shared_lab.run("workers", environ=own, code=1).stderr
    shared_lab.run("coordinator", "forget", "lab", environ=own)
    assert "lab" not in shared_lab.run("coordinators", environ=own).stdout
