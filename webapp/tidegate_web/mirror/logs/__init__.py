"""Logs of pods: stream, lines, chunks, end mark, archive. A module a step."""
