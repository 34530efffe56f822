"""Two workers, each behind a router that lets nobody in: what one has reaches the other, by the way that is there."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.agent.transfer.tree import keep_tree, make_tree
from tests.chaos.namespace import Impossible
from tests.process.lab import Lab
from tests.process.nat_town import NatTown, stun_server
from tests.process.test_files import done, give, upload_of

pytestmark = pytest.mark.timeout(180)
PORT = 7373
MIB = 1 << 20
HOMES = ("gpu-a", "gpu-b")


@pytest.fixture(name="town")
def _town(tmp_path: Path) -> Iterator[NatTown]:
    try:
        made = NatTown("lab", homes=HOMES, rules=tmp_path / "home.nft")
    except Impossible as error:
        # A run for all as root has to have them: a skip that nobody sees is a test that nobody has.
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            raise
        pytest.skip(str(error))
    with closing(made), made.inside("lab"):
        yield made


class Fetch:
    """A job on `gpu-b` with a file that only `gpu-a` has."""

    def __init__(self, lab: Lab, town: NatTown, config: str, *, native: bool = True) -> None:
        (lab.folder / "config.toml").write_text(f"[coordinator]\n{config}\n")
        lab.serve("--advertise", f"{town.address('lab')}:{PORT}", listen=f"0.0.0.0:{PORT}")
        self.lab = lab
        self.manifest = make_tree(lab.folder / "brought", data_bin=os.urandom(20 * MIB))
        keep_tree(lab.state_dir("gpu-a"), lab.folder / "brought", self.manifest)
        environ = {} if native else {"PYTHONPATH": str(without_wrtc(lab.folder))}
        for name in reversed(HOMES):
            lab.agent(name, "--join", lab.invite(name=name), environ=environ, within=town.command(name))
        compare = 'cmp "$OPSCONSOLE_INPUT_0/data.bin" "$LAB/brought/data.bin" && echo same'
        self.job_id = give(
            lab, compare, workers=("gpu-b",), uploads=(upload_of("data", self.manifest, is_folder=True),)
        )

    def says(self, text: str) -> bool:
        """Whether the job's log says this."""
        return any(text in line for line in self.lab.lines(self.job_id))


def without_wrtc(folder: Path) -> Path:
    """A folder which, on Python's path, makes of wrtc what a broken installation is."""
    path = folder / "broken"
    path.mkdir()
    (path / "webrtc.py").write_text("raise ImportError('libstdc++.so.6: version GLIBCXX_9.9 not found')\n")
    return path


def test_without_a_server_that_finds_them_the_coordinator_relays(lab: Lab, town: NatTown) -> None:
    fetch = Fetch(lab, town, "")
    done(lab, fetch.job_id, 90)
    lab.wait(lambda: fetch.says("same"), "the comparison")
    lines = lab.lines(fetch.job_id)
    assert any("direct doesn't work" in line for line in lines), lines
    assert any("relay: connected to gpu-a" in line for line in lines), lines


@pytest.mark.parametrize("native", [True, False], ids=["wrtc", "aiortc"])
def test_with_a_stun_server_they_meet_through_both_routers(lab: Lab, town: NatTown, native: bool) -> None:
    with stun_server(town.address("lab")) as url:
        fetch = Fetch(lab, town, f'relay = false\nice_servers = [{{ url = "{url}" }}]', native=native)
        done(lab, fetch.job_id, 90)
        lab.wait(lambda: fetch.says("same"), "the comparison")
    lines = lab.lines(fetch.job_id)
    engine = "wrtc" if native else "aiortc"
    assert any(f"webrtc with {engine}: connected to gpu-a" in line for line in lines), lines


def test_where_no_way_leads_the_job_says_so_and_why(lab: Lab, town: NatTown) -> None:
    with ExitStack() as stack:
        fetch = Fetch(lab, town, "relay = false")
        stack.callback(lab.act, "cancel", fetch.job_id)
        lab.wait(lambda: fetch.says("webrtc doesn't work"), "the reason", 60)
        lines = lab.lines(fetch.job_id)
        assert any("direct doesn't work" in line for line in lines), lines
        assert lab.state(fetch.job_id) != "succeeded"
