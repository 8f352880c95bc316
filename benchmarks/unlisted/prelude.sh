# Sourced before the commands of every declaration. The runner sets LAB, WORK, PYTHON, the pids of the servers' first
# processes (DB_PID, ...) and the lab's passwords (POSTGRES_PASSWORD, ...).
set -eu
export no_proxy='*' PGCONNECT_TIMEOUT=4

# Inside a server, and what runs there.
on() { local pid="${1^^}_PID"; shift; nsenter -t "${!pid}" -m -u -i -p -- "$@"; }
server_of() { case $1 in samaconso_rabbitmq | samaconso_api_*) echo api ;; *) echo workers ;; esac; }
docker_of() { local container=$1; shift; on "$(server_of "$container")" docker "$@"; }
logs() { docker_of "$1" logs --tail "${2:-150}" "$1" 2>&1; }
# A service of the compose files, changed by a statement on its description "s", and made anew; and put back.
change() { "$PYTHON" -m benchmarks.unlisted.parts change "$@"; }
restore() { "$PYTHON" -m benchmarks.unlisted.parts restore "$@"; }
part() { "$PYTHON" -m benchmarks.unlisted.parts "$@"; }

# The database: as its superuser, as the application through the pool, the pool's own console.
sql() {
  local arguments=() statement
  for statement in "$@"; do arguments+=(-c "$statement"); done
  PGPASSWORD=$POSTGRES_PASSWORD PGOPTIONS='-c default_transaction_read_only=off -c synchronous_commit=local' \
    timeout 20 psql -h 127.101.0.1 -p 5432 -U postgres -d samaconso -v ON_ERROR_STOP=1 -qAt "${arguments[@]}"
}
app() { PGPASSWORD=$SAMACONSO_PASSWORD timeout 6 psql -h 127.101.0.1 -p 6432 -U samaconso_user -d samaconso -qAt -c "$1" 2>&1; }
pool() { PGPASSWORD=$POSTGRES_PASSWORD timeout 10 psql -h 127.101.0.1 -p 6432 -U postgres -d pgbouncer -qAt -c "$1"; }
cut_off() { sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'samaconso_user'" >/dev/null; }
# A notification that is due now, which the API is to publish: $1 priority, $2 message.
due() { sql "INSERT INTO notifications (user_id, priority, message) VALUES (1, '$1', '$2')"; }

redis() { timeout 10 redis-cli -h 127.101.0.3 "$@"; }
broker() { on api docker exec samaconso_rabbitmq timeout 40 rabbitmqctl -q "$@"; }
management() { local path=$1; shift; curl -sf -m 8 -u "samaconso_admin:$RABBITMQ_PASSWORD" "http://127.101.0.2:15672/api/$path" "$@"; }
hang_up() { broker close_all_connections 'tidied up' >/dev/null; }

# The users: the address they know, its members, and whether a notification reaches the phone.
answer() { curl -s -o /dev/null -m 7 -w '%{http_code}' "$@" || true; }
vip() { answer "http://127.101.0.10:8080$1" "${@:2}"; }
member() { answer "http://127.101.0.2:$1$2" "${@:3}"; }
publish() {
  answer -X POST -H 'Content-Type: application/json' -d "{\"user_id\": ${3:-1}, \"priority\": \"$2\", \"message\": \"${4:-benchmark}\"}" \
    "http://127.101.0.2:$1/notifications"
}
pushed() { grep -c "\"$1\"" "$LAB/outside/google/accepted.jsonl" || true; }
arrives() { # $1 priority: whether a notification with a text of its own arrives within 6 s
  local text="benchmark $RANDOM$RANDOM" moment
  publish 8001 "$1" 1 "$text" >/dev/null
  for moment in 1 2 3 4 5 6; do
    sleep 1
    [ "$(pushed "$text")" -gt 0 ] && return 0
  done
  return 1
}
fail_some() { local number; for number in 1 2 3 4 5 6; do publish 8001 "$1" "$number" >/dev/null; done; sleep 2; }

# A program that goes on until it is let go: its command line after the name under which it is remembered.
keep() { local name=$1; shift; setsid "$@" >"$WORK/$name.log" 2>&1 </dev/null & echo $! >"$WORK/$name.pid"; }
let_go() { kill -- "-$(cat "$WORK/$1.pid")" 2>/dev/null || true; }
