"""A step of the engine, timed against what a user would write instead."""
