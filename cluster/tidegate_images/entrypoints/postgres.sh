#!/bin/sh
# Starts Postgres with the variables of the official image, as whatever user the pod runs as.
set -eu
export PGDATA="${PGDATA:-/var/lib/postgresql/data}"
export PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"

# NAME or the content of the file that NAME_FILE names.
setting() {
	eval "value=\${$1:-} file=\${$1_FILE:-}"
	if [ -n "$value" ] && [ -n "$file" ]; then echo "error: set $1 or $1_FILE, not both" >&2; exit 1; fi
	if [ -n "$file" ]; then value=$(cat "$file"); fi
	printf %s "${value:-$2}"
}

case "${1:-postgres}" in
-*) set -- postgres "$@" ;;
postgres) [ $# -gt 0 ] || set -- postgres ;;
*) exec "$@" ;;
esac

sockets=/var/run/postgresql
[ -w $sockets ] || sockets=/tmp

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	user=$(setting POSTGRES_USER postgres)
	password=$(setting POSTGRES_PASSWORD "")
	database=$(setting POSTGRES_DB "$user")
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "$password" ] && [ "$method" != trust ]; then
		echo "error: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
		exit 1
	fi
	mkdir -p "$PGDATA"
	# All is made in a directory inside and moved up at the end, PG_VERSION last: a start that is cut short starts over.
	half=$PGDATA/tidegate-half
	[ ! -e "$half" ] || find "$PGDATA" -mindepth 1 -delete
	mkdir "$half"
	chmod 0700 "$half"
	chmod 0700 "$PGDATA" 2>/dev/null || true
	scratch=$(mktemp -d)
	printf '%s\n' "$password" >"$scratch/password"
	# initdb asks for the name of its user, and the pod's may have none.
	if ! getent passwd "$(id -u)" >/dev/null; then
		echo "postgres:x:$(id -u):$(id -g)::$PGDATA:/bin/false" >"$scratch/passwd"
		echo "postgres:x:$(id -g):" >"$scratch/group"
		export NSS_WRAPPER_PASSWD="$scratch/passwd" NSS_WRAPPER_GROUP="$scratch/group"
		export LD_PRELOAD=libnss_wrapper.so
	fi
	# shellcheck disable=SC2086  # several arguments in one variable, as the official image has it
	initdb --pgdata="$half" --username="$user" --pwfile="$scratch/password" --auth-local=trust --auth-host="$method" \
		${POSTGRES_INITDB_ARGS:-}
	printf '\nhost all all all %s\n' "$method" >>"$half/pg_hba.conf"
	unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
	pg_ctl --pgdata="$half" --options="-c listen_addresses='' -k $sockets" --wait start
	if [ "$database" != postgres ]; then
		psql --host=$sockets --username="$user" --dbname=postgres --no-psqlrc -v ON_ERROR_STOP=1 -v name="$database" <<-'SQL'
			CREATE DATABASE :"name";
		SQL
	fi
	for script in /docker-entrypoint-initdb.d/*; do
		case $script in
		*.sh) sh "$script" ;;
		*.sql) psql --host=$sockets --username="$user" --dbname="$database" --no-psqlrc -v ON_ERROR_STOP=1 -f "$script" ;;
		esac
	done
	pg_ctl --pgdata="$half" --mode=fast --wait stop
	rm -rf "$scratch"
	for entry in "$half"/*; do
		[ "$entry" = "$half/PG_VERSION" ] || mv "$entry" "$PGDATA/"
	done
	mv "$half/PG_VERSION" "$PGDATA/"
	rmdir "$half"
fi

shift
exec postgres -c listen_addresses='*' -k "$sockets" "$@"
