"""The HTTP verbs by which tasks say something of themselves; what they say goes where the module `opsconsole` writes, too."""
