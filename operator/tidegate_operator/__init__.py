"""The operator: turns TaskRuns into Jobs and reports what became of them.

One way through: watch → cache → decide → act. `watching` and `informer` put records into the `cache` and mark keys dirty,
the `reconciler` takes a key and asks the pure `policies` what to do, `actions` does it.
"""
