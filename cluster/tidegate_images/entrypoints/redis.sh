#!/bin/sh
# Starts Redis with the arguments that the official image takes: options, a configuration file, or a command.
set -eu
case "${1:-redis-server}" in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "${1:-redis-server}" = redis-server ]; then
	[ $# -eq 0 ] || shift
	# Only the pod's network reaches it; the official image is compiled with this default.
	case "${1:-}" in
	*.conf) file=$1 && shift && set -- "$file" --protected-mode no "$@" ;;
	*) set -- --protected-mode no "$@" ;;
	esac
	exec redis-server "$@"
fi
exec "$@"
