"""The server shell."""
