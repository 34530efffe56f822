"""`python -m tests.recording` records the fleet anew."""

from tests.recording import record

if __name__ == "__main__":
    record.FILE.write_bytes(record.encoded())
