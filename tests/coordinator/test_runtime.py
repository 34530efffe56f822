"""Starting and stopping: what is taken, what is refused, what is left behind."""

import json
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from opsconsole_coordinator.runtime import Coordinator, CoordinatorConfig, CoordinatorThread, DataFolderInUse
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.host.dial import Refused, WrongCertificate, dial
from tests.coordinator.server.peer import Operator, site


def config(data_dir: Path, **fields: Any) -> CoordinatorConfig:
    return CoordinatorConfig(data_dir=data_dir, **{"listen": "127.0.0.1:0", "name": "lab", **fields})


async def refusal(data_dir: Path, **fields: Any) -> str:
    coordinator = Coordinator(config(data_dir, **fields))
    with pytest.raises(OpsconsoleError) as error:
        await coordinator.start()
    assert "\n" not in error.value.message
    return error.value.message


async def test_it_says_where_it_is_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.json"
    async with site(tmp_path) as running:
        said = json.loads(path.read_text())
        assert said["url"] == running.endpoint.url
        assert said["url"].startswith("ws://127.0.0.1:")
        assert (said["certificate_hash"], said["name"]) == (None, "lab")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "operator.token").stat().st_mode) == 0o600
    assert not path.exists()


async def test_all_that_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with site(tmp_path) as first, await first.operator() as operator:
        job = await operator.submit(held=True)
        store_id, token = first.endpoint.store_id, first.token
    async with site(tmp_path) as second, await second.operator(token) as operator:
        assert second.endpoint.store_id == store_id
        [row] = (await operator.call(api.ListJobs())).jobs
        assert (row.id, row.state) == (job.id, "held")
        await operator.call(api.Act(verb="release", ids=(job.id,)))


async def test_a_second_coordinator_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as running:
        here = rf"a coordinator \(process {os.getpid()}, ws://127.0.0.1:\d+\) runs on .* already: use it"
        with pytest.raises(DataFolderInUse, match=here):
            await Coordinator(config(tmp_path)).start()
        (tmp_path / "endpoint.json").write_text('{"url": 5')
        with pytest.raises(DataFolderInUse, match=r"a coordinator runs on .* already: use it"):
            await Coordinator(config(tmp_path)).start()
        async with await running.operator() as operator:
            assert (await operator.call(api.AskHealth())).healthy


async def test_a_port_that_is_taken_is_said_and_nothing_stays_locked(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = await refusal(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
    assert "another program has that port; choose one with --listen HOST:PORT" in line
    async with site(tmp_path):
        pass


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost:", ":abc", "127.0.0.1:70000", "host:-1", "1.2.3.4.5:80"])
async def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    line = await refusal(tmp_path, listen=listen)
    assert "listen" in line


async def test_advertising_needs_an_address_that_others_reach(tmp_path: Path) -> None:
    assert "this machine only" in await refusal(tmp_path, advertise="example.org:7373")
    assert "HOST:PORT" in await refusal(tmp_path, advertise="nonsense")


async def test_a_store_that_cannot_be_used_stops_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "opsconsole.db").write_bytes(b"not a database at all" * 100)
    assert "not a database" in await refusal(tmp_path)
    (tmp_path / "opsconsole.db").unlink()
    async with site(tmp_path):
        pass


async def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "can't use the data folder" in await refusal(tmp_path / "file")


async def test_with_tls_the_certificate_is_known_by_its_hash(tmp_path: Path) -> None:
    async with site(tmp_path, tls="on") as running:
        assert running.endpoint.url.startswith("wss://")
        async with await running.operator() as operator:
            line = (await operator.call(api.Invite())).line
        assert f"#{running.endpoint.certificate_hash}." in line
        with pytest.raises(WrongCertificate):
            await dial(running.endpoint.url, path="/operator", certificate_hash="0" * 64, headers={}, max_size=1)
        with pytest.raises(Refused):
            await running.connect("/operator")


async def test_stopping_twice_or_before_starting_does_no_harm(tmp_path: Path) -> None:
    coordinator = Coordinator(config(tmp_path))
    await coordinator.stop()
    await coordinator.start()
    await coordinator.stop()
    await coordinator.stop()


async def test_connected_peers_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with site(tmp_path) as running:
        operator, agent = await running.operator(), await running.agent()
        await agent.register()
        await operator.call(api.Subscribe())
        job = await operator.submit()
        await operator.ask(api.WaitJobs(ids=(job.id,)))
    await operator.ended()
    await agent.ended()


# --- on a thread ---------------------------------------------------------------------------------------------------


async def health(url: str, token: str) -> bool:
    socket = await dial(url, path="/operator", headers={"Authorization": f"Bearer {token}"}, max_size=1 << 20)
    async with Operator(socket) as operator:
        await operator.greet()
        return bool((await operator.call(api.AskHealth())).healthy)


def test_a_coordinator_on_a_thread_of_its_own(tmp_path: Path) -> None:
    import asyncio

    thread = CoordinatorThread(config(tmp_path))
    endpoint = thread.start()
    token = (tmp_path / "operator.token").read_text().strip()
    assert asyncio.run(health(endpoint.url, token))
    thread.stop()
    thread.stop()
    assert not [one for one in threading.enumerate() if one.name == "coordinator"]
    again = CoordinatorThread(config(tmp_path))
    again.start()
    again.stop()


def test_a_thread_that_cannot_start_says_why_and_ends(tmp_path: Path) -> None:
    first = CoordinatorThread(config(tmp_path))
    first.start()
    second = CoordinatorThread(config(tmp_path))
    with pytest.raises(DataFolderInUse):
        second.start()
    second.stop()
    with pytest.raises(InvalidRequest):
        CoordinatorThread(config(tmp_path / "other", listen="nonsense")).start()
    first.stop()
    assert not [one for one in threading.enumerate() if one.name == "coordinator"]
