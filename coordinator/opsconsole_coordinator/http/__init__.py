"""The one port: sockets, TLS, HTTP and websockets."""
