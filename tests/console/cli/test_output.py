"""Whatever part of a table others have named, nothing in it acts on a terminal."""

import pytest

from opsconsole_console.cli.output import put_table


def test_titles_of_columns_are_cleaned_as_cells_are(capsys: pytest.CaptureFixture[str]) -> None:
    put_table(("a\x1b[31m", "b"), [("\x1b[2J1", "2")])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
