"""Datasets at URLs, read from real servers here: a web server, an object store, and the few answers of a hub."""

import base64
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opsconsole_agent.dataset.describer import describe
from opsconsole_agent.dataset.limit import Limits
from opsconsole_protocol.dataset import BrokenDataset, DatasetFormat, shown_url
from opsconsole_protocol.error import Forbidden, InvalidRequest, NotFound, OpsconsoleError, Unavailable
from tests.agent.dataset.dataset_lab import COMPRESS, CSV, JSON_LINES, TABLE, parquet_bytes, saved
from tests.object_store import SECRET, environment_for, object_store

FILES = {
    "a.csv": CSV, "a.parquet": parquet_bytes(), "a.csv.gz": COMPRESS["gz"](CSV), "a.jsonl": JSON_LINES,
    "ragged.csv": b"a,b\n1,2\n3\n", "train/0.parquet": parquet_bytes(), "test/0.parquet": parquet_bytes(TABLE.slice(1)),
    **saved(above="saved/"),
}  # fmt: skip
pytestmark = pytest.mark.process


class Web(BaseHTTPRequestHandler):
    """`/plain/…` sends whole files, `/parts/…` parts of them, `/private/…` wants a password; `/api/…` is as a hub has it."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        kind, _, name = path.strip("/").partition("/")
        if kind == "private":
            wanted = base64.b64encode(f"ana:{SECRET}".encode()).decode()
            if self.headers["Authorization"] != f"Basic {wanted}":
                return self._send(401, b"")
        if kind == "hang":
            self.server.closing.wait(60)  # type: ignore[attr-defined]
            return self._send(500, b"")
        if kind == "broken":
            return self._send(503, b"")
        if name not in FILES:
            return self._send(404, b"")
        return self._file(FILES[name], parts=kind == "parts")

    def _file(self, data: bytes, *, parts: bool) -> None:
        headers = {"Accept-Ranges": "bytes"} if parts else {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "") if parts else None
        if wanted is None:
            return self._send(200, data, headers)
        begin, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
        return self._send(206, data[begin : end + 1], headers)

    def _send(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.closing = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.closing.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "name"), [("plain", "a.csv.gz"), ("plain", "a.parquet"), ("parts", "a.jsonl"), ("parts", "a.parquet")]
)
def test_a_file_of_a_web_server(web: str, kind: str, name: str) -> None:
    found = describe(f"{web}/{kind}/{name}")
    assert (found.rows, [one.name for one in found.columns]) == (3, ["x", "y"])
    assert found.size_bytes == len(FILES[name])


def test_with_a_password_that_nobody_sees(web: str) -> None:
    secret = web.replace("//", f"//ana:{SECRET}@")
    assert describe(f"{secret}/private/a.csv").rows == 3
    for path in ("ragged.csv", "gone.csv"):
        with pytest.raises(OpsconsoleError) as error:
            describe(f"{secret}/private/{path}?signature={SECRET}")
        assert SECRET not in repr(error.value)
        assert f"{web}/private/{path}" in error.value.message


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/plain/gone.csv", NotFound, "is not there"),
        ("/private/a.csv", Forbidden, "needs credentials"),
        ("/broken/a.csv", Unavailable, "the server answered 503"),
    ],
)
def test_what_a_server_refuses(web: str, path: str, kind: type[OpsconsoleError], said: str) -> None:
    with pytest.raises(kind, match=said) as error:
        describe(web + path)
    assert error.value.message.startswith(f"{web}{path} ")


def test_a_server_that_isnt_there() -> None:
    with pytest.raises(Unavailable, match="can't be reached"):
        describe("http://127.0.0.1:1/a.csv")


def test_a_server_that_hangs(web: str) -> None:
    with pytest.raises(Unavailable, match="could not be described within 3 s"):
        describe(f"{web}/hang/a.csv", Limits(timeout_s=3.0))


def test_a_file_that_must_be_fetched_whole_is_not_fetched_where_it_is_too_large(web: str) -> None:
    with pytest.raises(InvalidRequest, match="too large for a server that sends no parts"):
        describe(f"{web}/plain/a.parquet", Limits(spool_bytes_max=100))


# --- an object store -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a bucket `lab`."""
    with object_store(
        tmp_path_factory.mktemp("moto"), {f"digits/{name}": data for name, data in FILES.items()}
    ) as address:
        yield address


@pytest.fixture
def store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, as the environment leads to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment_for(bucket).items():
        monkeypatch.setenv(name, value)
    return bucket


def test_files_and_folders_of_an_object_store(store: str) -> None:
    assert [describe(f"s3://lab/digits/{name}").rows for name in ("a.parquet", "a.csv.gz")] == [3, 3]
    saved_ = describe("s3://lab/digits/saved")
    assert (saved_.format, saved_.rows) == (DatasetFormat.HUGGING_FACE, 3)
    with pytest.raises(BrokenDataset, match=r"s3://lab/digits/ragged\.csv, line 3: has 1 value"):
        describe("s3://lab/digits/ragged.csv")


def test_what_an_object_store_refuses(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("lab/digits/gone.csv", "gone/a.csv"):
        with pytest.raises(NotFound, match=rf"s3://{path} is not there"):
            describe(f"s3://{path}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="can't be reached"):
        describe("s3://lab/digits/a.csv")


def test_a_key_of_the_url_is_used_and_never_shown(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert describe(f"s3://k:{SECRET}@lab/digits/a.csv").rows == 3
    with pytest.raises(OpsconsoleError) as error:
        describe(f"s3://k:{SECRET}@lab/digits/gone.csv")
    assert error.value.message.startswith("s3://lab/digits/gone.csv ")
    assert describe("s3://lab/digits/a.csv").rows == 3  # shown to everybody


# --- a hub -----------------------------------------------------------------------------------------------------


class Hub(Web):
    """Answers what `huggingface_hub` asks of a data set `ana/digits` with the files of `train/` and `test/`."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        names = [name for name in FILES if name.startswith(("train/", "test/"))]
        resolved = re.fullmatch(r"/datasets/ana/digits/resolve/[^/]+/(.+)", path)
        if resolved is not None and resolved[1] in names:
            return self._file(FILES[resolved[1]], parts=True)
        tree = re.fullmatch(r"/api/datasets/ana/digits/tree/[^/]+(?:/(.*))?", path)
        if tree is not None:
            return self._json(self._entries(names, tree[1] or "", deep="recursive=True" in self.path))
        if re.fullmatch(r"/api/datasets/ana/digits(/revision/[^/]+)?", path):
            return self._json({"id": "ana/digits", "sha": "0" * 40, "private": False, "tags": [], "siblings": []})
        return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        wanted = {part.partition("=")[2].replace("%2F", "/") for part in body.split("&") if part.startswith("paths=")}
        wanted |= set(json.loads(body)["paths"]) if body.startswith("{") else set()
        names = [name for name in FILES if name in wanted]
        folders = [one for one in ("train", "test") if one in wanted]
        self._json(
            [*map(self._entry, names), *({"type": "directory", "oid": "1", "size": 0, "path": one} for one in folders)]
        )

    def _entries(self, names: list[str], folder: str, *, deep: bool) -> list[dict[str, object]]:
        below = [self._entry(name) for name in names if name.startswith(f"{folder}/" if folder else "")]
        folders: list[dict[str, object]] = [
            {"type": "directory", "oid": "1", "size": 0, "path": one} for one in ("test", "train")
        ]
        return ([] if folder else folders) + (below if deep or folder else [])

    def _entry(self, name: str) -> dict[str, object]:
        return {"type": "file", "oid": "0" * 40, "size": len(FILES[name]), "path": name}

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_data_set_of_a_hub(hub: str) -> None:
    found = describe("hf://datasets/ana/digits")
    assert (found.format, found.rows) == ("parquet", 5)
    assert [(one.name, one.rows) for one in found.splits] == [("test", 2), ("train", 3)]
    assert describe("hf://datasets/ana/digits/train/0.parquet").rows == 3
    with pytest.raises(NotFound, match="hf://datasets/ana/gone is not there") as error:
        describe("hf://datasets/ana/gone")
    assert SECRET not in error.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/a.csv", "https://h/a.csv"),
        ("https://h:8000/a.csv?signature=geheim#geheim", "https://h:8000/a.csv"),
        ("https://ana:geheim@h/a.csv", "https://h/a.csv"),
        ("https://geheim@[::1]:80/a.csv", "https://[::1]:80/a.csv"),
        ("https://ana:ge/heim@h/a.csv", "https://…"),
        ("https://ana:12/geheim@h/a.csv", "https://…"),
        ("https://ana:geheim?x@h/a.csv", "https://…"),
        ("https://ana:12?geheim@h/a.csv", "https://…"),
        ("https://h/a@geheim", "https://…"),
        ("s3://k:geheim@b/c?versionId=geheim", "s3://b/c"),
        ("hf://datasets/ana/digits@main/a.csv", "hf://datasets/ana/digits@main/a.csv"),
        ("https://", "https://"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
