"""The two ways to Tidegate: Kubernetes by a kubeconfig, and the HTTP API with a key.

Commands know `base.Backend` alone. Both describe runs and definitions as the HTTP API does, so that `-o json` is the same
whichever way was taken.
"""
