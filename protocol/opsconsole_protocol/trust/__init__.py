"""How a coordinator is named, how it proves itself, and the secrets that open it. Pure."""
