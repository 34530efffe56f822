"""Trees of files on this machine: scanned, kept, sent and received. Everything here blocks: call it from threads."""
