"""The files and sockets at one end of a session."""
