"""Who may do what: certificate, credentials, and the throttle on wrong secrets."""
