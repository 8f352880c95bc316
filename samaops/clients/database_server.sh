# Work on PostgreSQL's own server, as its operating-system user, over the local socket: what a restore needs.
# Arguments: what to do, the port, the most milliseconds of a statement, then what that needs. psql's statements come on
# standard input, values as NAME=VALUE, which psql quotes. Standard output: rows, one JSON document a line.
what=$1 port=$2 milliseconds=$3
shift 3
cd / || exit 1
unset PGHOST PGUSER PGDATABASE PGSERVICE PGPASSFILE
export PGPORT="$port" PGCLIENTENCODING=UTF8 PGAPPNAME='samaops restore' PGCONNECT_TIMEOUT=10
export PGOPTIONS="-c statement_timeout=$milliseconds -c client_min_messages=warning -c synchronous_commit=off -c client_connection_check_interval=2000"
# The kernel knows where the server's socket is, whatever its configuration says.
socket=$(awk -v name="/.s.PGSQL.$port" '{at = index($8, name)} at && $8 ~ /^\// && at + length(name) > length($8) {print substr($8, 1, at - 1); exit}' /proc/net/unix 2>/dev/null)
[ -z "$socket" ] || export PGHOST="$socket"
# A cluster may have an older or a newer client than the first one on the path.
newest() {
  for place in "/usr/lib/postgresql/$major/bin" "/usr/pgsql-$major/bin"; do
    [ -x "$place/$1" ] && { printf '%s' "$place/$1"; return; }
  done
  printf '%s' "$1"
}
ask() { psql -X -q -A -t -w -v ON_ERROR_STOP="$stops" -d "$database" "$@"; }
# Replace the arguments by psql's: -v NAME=VALUE for each.
case $what in
  ask | try)
    database=$1 stops=1
    [ "$what" = ask ] || stops=0
    shift
    for value; do
      shift
      set -- "$@" -v "$value"
    done
    ask "$@" -f - ;;
  query)
    # A statement of the site: read only, as it is, on standard input.
    database=$1 stops=1
    statement=$(cat)
    case $statement in \\*) echo 'psql commands are not run' >&2; exit 1 ;; esac
    export PGOPTIONS="$PGOPTIONS -c default_transaction_read_only=on"
    ask -c "$statement" ;;
  free) df -B1 --output=avail -- "$1" | tail -n 1 ;;
  processors) nproc ;;
  list)
    # What an archive says of itself: its head, and how many indexes and constraints it has.
    major=$2
    listed=$("$(newest pg_restore)" -l -- "$1") || exit 1
    printf '%s\n' "$listed" | awk '
      /^;/ && /dbname: /{sub(/^; *dbname: /, ""); print "database\t" $0}
      /^;/ && /Dumped from database version: /{sub(/^.*version: /, ""); print "version\t" $0}
      /^[0-9]+;/ && $4 == "INDEX" && $5 != "ATTACH" {indexes++}
      /^[0-9]+;/ && ($4 == "CONSTRAINT" || ($4 == "FK" && $5 == "CONSTRAINT")) {constraints++}
      END {print "indexes\t" indexes + 0; print "constraints\t" constraints + 0}' ;;
  sums)
    # The sums come on standard input as "SUM  PATH" lines. Each file must be as it was written.
    cd -- "$1" && exec sha256sum -c --quiet --strict - ;;
  load)
    # $5: whole; or the schema and name of the one table whose rows are wanted.
    database=$1 archive=$2 jobs=$3 major=$4 how=$5 schema=$6 name=$7
    restore=$(newest pg_restore)
    case $how in
      gentle) exec nice -n 19 "$restore" -e -w -j "$jobs" -d "$database" -- "$archive" ;;
      whole) exec "$restore" -e -w -j "$jobs" -d "$database" -- "$archive" ;;
      table)
        list=$(mktemp) || exit 1
        trap 'rm -f "$list"' EXIT
        "$restore" -e -w --section=pre-data -d "$database" -- "$archive" || exit 1
        "$restore" -e -w --data-only -n "$schema" -t "$name" -d "$database" -- "$archive" || exit 1
        # pg_restore -t brings no index: all of them are made, in tables that are empty but for one. What would look at
        # rows of other tables is left out.
        "$restore" -l --section=post-data -- "$archive" |
          grep -Ev '^[0-9]+; [0-9]+ [0-9]+ (FK CONSTRAINT|TRIGGER|EVENT TRIGGER|RULE|MATERIALIZED VIEW DATA|PUBLICATION|SUBSCRIPTION|ROW SECURITY|POLICY)' >"$list"
        "$restore" -e -w -j "$jobs" --section=post-data -L "$list" -d "$database" -- "$archive" ;;
    esac ;;
  copy)
    # A table of one database into another, with its indexes, all or nothing.
    database=$2 pattern=$3 major=$4 stops=1
    export PGOPTIONS="$PGOPTIONS -c lock_timeout=5000"
    place=$(mktemp -d) || exit 1
    trap 'rm -rf "$place"' EXIT
    mkfifo "$place/pipe" || exit 1
    # A pipe hides how the first program ended: the transaction ends only behind a whole dump.
    { echo 'BEGIN;'; "$(newest pg_dump)" -w -t "$pattern" -d "$1" && printf '%s\n' 'COMMIT;' '\echo samaops: whole'; } >"$place/pipe" &
    said=$(psql -X -q -A -t -w -v ON_ERROR_STOP=1 -d "$database" -f "$place/pipe") || { wait; exit 1; }
    wait
    case $said in *'samaops: whole'*) ;; *) echo 'the table was not read to its end' >&2; exit 1 ;; esac ;;
  swap)
    # The renaming waits until the old database is empty: what is still in it is ended meanwhile. On standard input the
    # statements; $1 those that end sessions.
    endings=$1 until=$2 stops=1 database=$3
    shift 3
    oid=
    for value; do
      case $value in old_oid=*) oid=$value ;; esac
      shift
      set -- "$@" -v "$value"
    done
    statements=$(cat)
    [ -z "$endings" ] || { printf '%s\n' "$endings" | PGOPTIONS='-c client_connection_check_interval=2000' psql -X -q -A -t -w -d "$database" -v "$oid" >/dev/null 2>&1 & ender=$!; }
    begun=$(date +%s)
    while :; do
      said=$(printf '%s;\n' "$statements" | ask "$@" -f - 2>&1)
      code=$?
      [ "$code" != 0 ] || break
      case $said in *'not those that were planned'*) break ;; esac
      [ "$(($(date +%s) - begun))" -lt "$until" ] || break
    done
    [ -z "$endings" ] || kill "$ender" 2>/dev/null
    [ "$code" = 0 ] || printf '%s\n' "$said" >&2
    exit "$code" ;;
esac
