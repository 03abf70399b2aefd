"""Measures how good samples are after so many minutes, next to what a user would write instead."""
