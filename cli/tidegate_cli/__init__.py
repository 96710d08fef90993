"""The `tidegate` command, also `kubectl tidegate`: runs, queues, schedules and tasks from a shell or a pipeline.

It talks to Kubernetes by the kubeconfig alone, or to the HTTP API with a key, in one way for both (`backends/`).
"""
