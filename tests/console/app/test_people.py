"""The people screen: who may do what, and open invitations (hard use 33, 57)."""

from opsconsole_protocol.api import RenamePerson, RevokeInvitations, RevokePeople
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage


async def test_people_and_invitations_are_listed_in_a_small_terminal_too(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await there.line("people")
        await there.until(lambda: "ana" in there.text())
        text = there.text()
        assert "has the data folder's token" in text
        assert "from 2 places" in text
        assert "revoked 1h ago" in text
        await there.press("2")
        await there.until(lambda: "k3f9ab2q" in there.text())


async def test_somebody_is_renamed_and_shut_out_after_a_question(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("people")
        await there.until(lambda: "ana" in there.text())
        await there.press("down", "r")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("belle")
        await there.press("enter")
        await there.until(lambda: source.asked(RenamePerson))
        assert source.asked(RenamePerson) == [RenamePerson(name="ana", new="anabelle")]
        await there.press("c")
        await there.until(lambda: "Shut ana out?" in there.text())
        assert "2 open connections end at once" in there.text()
        await there.press("n")
        assert not source.asked(RevokePeople)
        await there.press("c")
        await there.until(lambda: there.screen_name == "ConfirmScreen")
        await there.press("y")
        await there.until(lambda: source.asked(RevokePeople))
        assert source.asked(RevokePeople) == [RevokePeople(names=("ana",))]


async def test_an_invitation_is_taken_back(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("people")
        await there.until(lambda: "k3f9ab2q" in there.text())
        await there.press("2", "c")
        await there.until(lambda: "Take invitation k3f9ab2q back?" in there.text())
        await there.press("y")
        await there.until(lambda: source.asked(RevokeInvitations))
        assert source.asked(RevokeInvitations) == [RevokeInvitations(ids=("k3f9ab2q",))]


async def test_who_may_only_look_has_no_verbs_here(source: RecordedSource) -> None:
    async with stage(source, read_only=True) as there:
        await there.line("people")
        await there.until(lambda: "ana" in there.text())
        await there.press("c", "r", "n")
        assert there.screen_name == "PeopleScreen"
