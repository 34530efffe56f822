"""Trading an invitation for a credential."""

import asyncio
import stat
from pathlib import Path

import pytest

from opsconsole.redemption import redeem
from opsconsole.resolver import resolve
from opsconsole_protocol.error import OpsconsoleError, Unauthenticated
from opsconsole_protocol.trust.invitation import parse_join_line
from tests.client.fake_server import TOKEN, FakeServer

SECRET = "0" * 52


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


async def test_an_invitation_is_traded_once_and_saved(tmp_path: Path) -> None:
    with FakeServer() as server:
        server.tokens.add(f"abcdefgh.{SECRET}")
        invitation = parse_join_line(f"{server.url}#-.abcdefgh.{SECRET}")
        target = await redeem(invitation)
        assert target.token not in {TOKEN, invitation.token}
        assert server.headers[-1]["authorization"] == f"Bearer {target.token}"
        assert server.headers[-1]["opsconsole-invitation"] == invitation.token
        again = await redeem(invitation)
        assert again == target
        assert len(server.headers) == 1
        assert resolve(server.url, environ={}) == target
    files = list((tmp_path / "state").rglob("*.json"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600]


async def test_a_trade_whose_answer_got_lost_is_repeated_with_the_same_credential() -> None:
    with FakeServer() as server:
        line = f"{server.url}#-.abcdefgh.{SECRET}"
        server.tokens.add(f"abcdefgh.{SECRET}")
        server.lets_in = False
        with pytest.raises(OpsconsoleError):
            await redeem(parse_join_line(line))  # not let in: the same as an answer that didn't come
        first = server.headers[-1]["authorization"]
        with pytest.raises(Unauthenticated):
            resolve(server.url, environ={})
        server.lets_in = True
        target = await redeem(parse_join_line(line))
        assert f"Bearer {target.token}" == first


async def test_a_refused_invitation_leaves_the_working_credential_alone() -> None:
    with FakeServer() as server:
        server.tokens.add(f"abcdefgh.{SECRET}")
        target = await redeem(parse_join_line(f"{server.url}#-.abcdefgh.{SECRET}"))
        with pytest.raises(OpsconsoleError):
            await redeem(parse_join_line(f"{server.url}#-.hhhhhhhh.{SECRET}"))
        assert await asyncio.to_thread(resolve, server.url, environ={}) == target
