"""Whole worlds in memory, described in a few lines, for tests to live in."""
