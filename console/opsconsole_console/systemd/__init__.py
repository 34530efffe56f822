"""Services: a coordinator or an agent that systemd starts at boot and keeps going."""
