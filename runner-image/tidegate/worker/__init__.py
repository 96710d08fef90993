"""The worker of a WorkerPool: runs tasks in processes that are forked from one in which the modules are imported already.

    worker (PID 1) ── connection to the operator, secret, log, health
    └── zygote ── modules of `preload`; no socket, no token, no secret
        └── subreaper, one a run ── ends what the run leaves behind
            └── the run's process ── the function

Nothing is imported here: each process loads what it needs.
"""
