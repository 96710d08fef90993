"""The contract in types: what users write into the cluster and what Tidegate answers there.

`crds/*.yaml`, the chart's copy and the reference page are generated from these types (`make generate`); the operator and the
web app take every shared name from here, so that a name exists once.
"""
