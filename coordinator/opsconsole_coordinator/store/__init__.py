"""The store: SQLite through aiosqlite, one writer, readers of their own. What it acknowledged is durable."""
