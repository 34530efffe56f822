"""A reservation that is made on the command line: it keeps others out and lets its owner in, whatever dies."""

from tests.process.lab import Lab


def test_a_reservation_outlives_a_killed_coordinator(lab: Lab) -> None:
    coordinator = lab.serve()
    port = lab.port
    lab.agent("gpu-a", slots=1)
    ben = lab.invite("operator", name="ben")
    at_home = {"HOME": str(lab.folder / "ben")}
    address = ben.partition("#")[0]
    lab.run("jobs", "--connect", ben, environ=at_home)  # from now on the address will do
    (reserved,) = lab.rows("reserve", "gpu-a", "--for-person", "ben", "--until", "+1h")
    assert lab.worker("gpu-a")["reservation"]["person"] == "ben"
    other = lab.submit("--", "true")
    lab.kill(coordinator)
    lab.serve(listen=f"127.0.0.1:{port}")
    lab.wait_connected("gpu-a")
    mine = lab.run("submit", "--connect", address, "--wait", "--", "true", environ=at_home)
    assert lab.job(mine.stdout.strip())["tasks"][0]["worker"] == "gpu-a", "the owner is let in"
    kept_out = lab.job(other)
    assert kept_out["state"] == "pending"
    assert "gpu-a is reserved for ben until" in kept_out["reason"]
    lab.run("reserve", "cancel", reserved["id"])
    lab.wait_state(other, "succeeded")
