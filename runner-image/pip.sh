#!/bin/sh
# The base image's pip, working on this environment: for building images, no pod runs it.
exec python -m pip "$@"
