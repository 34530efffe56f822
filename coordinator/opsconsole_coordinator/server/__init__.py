"""The coordinator's shell: it owns the sockets, the files, the clock and SQLite, and decides nothing."""
