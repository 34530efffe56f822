"""A backup is made while everything runs; restored, it stops nothing that it doesn't know."""

import shutil

from tests.process.lab import Lab, words


def test_a_restored_backup_stops_nothing_until_somebody_confirms(lab: Lab) -> None:
    coordinator = lab.serve()
    port = lab.port
    lab.agent("gpu-a")
    before = lab.submit("--wait", *words("echo before"))
    copy = lab.folder / "copy.db"
    assert "backed up" in lab.run("backup", str(copy)).stderr
    assert "exists already" in lab.run("backup", str(copy), code=1).stderr
    assert copy.stat().st_mode & 0o777 == 0o600
    job_id = lab.submit(*words("echo up; while [ ! -e $LAB/go ]; do sleep 0.02; done"))
    lab.wait(lambda: lab.state(job_id) == "running", "the task")
    lab.kill(coordinator)
    for name in ("opsconsole.db", "opsconsole.db-wal", "opsconsole.db-shm"):
        (lab.data_dir / name).unlink(missing_ok=True)
    shutil.copy(copy, lab.data_dir / "opsconsole.db")
    lab.serve(listen=f"127.0.0.1:{port}")
    lab.wait(lambda: "confirm" in lab.worker("gpu-a").get("attention", ""), "the restore to be noticed")
    assert lab.state(before) == "succeeded"
    assert "no job" in lab.run("show", job_id, code=1).stderr
    (task,) = [one for one in lab.left() if one.command[:2] == ["sh", "-c"]]
    assert "confirmed" in lab.run("confirm-restore").stderr
    lab.wait(lambda: not task.is_alive, "its end")
