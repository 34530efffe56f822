"""Who may do what: certificate, credentials, and the gate in front of the server."""
