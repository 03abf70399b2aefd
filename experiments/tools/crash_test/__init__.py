"""Runs that are killed or refused disk writes, compared with an undisturbed run."""
