"""Compact, typed records of the objects that decisions read, and how they are parsed."""
