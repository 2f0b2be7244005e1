"""What the commands print: a document for `--json`, lines for people."""
