"""The one error that the command line turns into a line and an exit code, so that people never see a traceback."""


class ClusterError(Exception):
    """Says in one line what is wrong and what to do about it."""
