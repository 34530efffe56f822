"""A real object store on this machine: moto's server, with a bucket `lab`."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3

from tests.waiting import until_sync

SECRET = "geheim"


@contextlib.contextmanager
def object_store(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """Its address. What ends with `a.csv` may be read by everybody."""
    log = folder / "moto.log"
    with log.open("wb") as sink:
        code = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"
        server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=sink, stderr=sink)
    try:
        until_sync(lambda: re.search(rb"http://127\.0\.0\.1:\d+", log.read_bytes()), 60, "moto")
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
        address = f"http://127.0.0.1:{int(found[1]) if found is not None else 0}"
        store = boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key=SECRET
        )
        store.create_bucket(Bucket="lab")
        for name, data in files.items():
            store.put_object(Bucket="lab", Key=name, Body=data)
            if name.endswith("a.csv"):
                store.put_object_acl(Bucket="lab", Key=name, ACL="public-read")
        store.close()
        yield address
    finally:
        server.terminate()
        server.wait(20)


def environment_for(address: str) -> dict[str, str]:
    """What leads boto there, and nowhere else."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
