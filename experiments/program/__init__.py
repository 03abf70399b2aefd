"""The program behind every experiment: one `main`, four modes, checks, exit codes."""
