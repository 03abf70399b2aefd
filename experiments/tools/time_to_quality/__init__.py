"""How good an experiment's samples are after so many minutes, beside what a user would write."""
