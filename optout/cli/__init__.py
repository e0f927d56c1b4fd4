"""The optout command: one module a subcommand."""
