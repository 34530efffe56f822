"""The addresses of coordinators, how a coordinator proves who it is, and the secrets that let somebody in. Pure."""
