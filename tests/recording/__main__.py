"""`python -m tests.recording` records the fleet anew."""

from tests.recording import lab, record

if __name__ == "__main__":
    lab.FILE.write_bytes(record.encoded())
