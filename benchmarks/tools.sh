#!/bin/bash
# The ecosystem's own tools for what `samaops diagnose` looks at, started side by side, all output thrown away.
# Addresses, ports and credentials come from variables, which `run` sets to the lab's. A tool that could not look
# is named on stdout, and the exit code is then 1: what fails at once is quick.
set -u
HERE=$(mktemp -d)
trap 'rm -rf "$HERE"' EXIT

# tool NAME MOST COMMAND...: start it; an exit code above MOST says that it could not look.
tool() {
  local name=$1 most=$2
  shift 2
  { timeout 60 "$@" >"$HERE/$name.out" 2>&1 || [ $? -le "$most" ] || touch "$HERE/$name.failed"; } &
}

# PostgreSQL: Nagios plugins say 0 to 2 for what they saw, 3 when they saw nothing.
postgresql() {
  local service=$1
  shift
  tool "check_pgactivity-$service" 2 env "PGPASSWORD=$MONITORING_PASSWORD" "$CHECK_PGACTIVITY" -s "$service" \
    -h "$DB" -p "$POSTGRESQL_PORT" -U "$MONITORING_USER" -d "$PGDATABASE" --status-file "$HERE/$service.data" "$@"
}
postgresql connection
postgresql backends -w 80% -c 90%
postgresql backends_status -w waiting=5,idle_xact=10 -c waiting=20,idle_xact=30
postgresql longest_query -w 60s -c 300s
postgresql oldest_idlexact -w 60s -c 300s
postgresql oldest_2pc -w 5m -c 60m
postgresql oldest_xmin -w 1000000 -c 10000000
postgresql locks -w 80% -c 90%
postgresql max_freeze_age -w 80% -c 90%
postgresql hit_ratio -w 90% -c 80%
postgresql temp_files -w 1GB -c 5GB
postgresql invalid_indexes
postgresql last_analyze -w 7d -c 30d
postgresql configuration

for show in POOLS DATABASES CONFIG; do
  tool "pgbouncer-$show" 0 env "PGPASSWORD=$ADMIN_PASSWORD" psql -X -h "$DB" -p "$PGBOUNCER_PORT" -U "$ADMIN_USER" \
    -d pgbouncer -c "SHOW $show"
done
tool pgbouncer-query 0 psql -X -h "$PGBOUNCER_HOST" -p "$PGBOUNCER_PORT" -U "$PGUSER" -d "$PGDATABASE" -c 'SELECT 1'

tool redis 0 redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" info everything

for path in overview nodes queues consumers connections channels; do
  tool "rabbitmq-$path" 0 curl -sf -u "$RABBITMQ_USER" "$RABBITMQ_URL/api/$path"
done
tool celery 0 "$CELERY" -b "$AMQP_URL" inspect active_queues
tool flower 0 curl -sf -u "$FLOWER_USER" "$FLOWER_URL/api/workers"

for server in db api workers; do
  case $server in db) address=$DB ;; api) address=$API ;; *) address=$WORKERS_HOST ;; esac
  tool "ping-$server" 0 ping -c 1 -W 2 "$address"
  tool "df-$server" 0 ssh -F "$SSH_CONFIG" $server 'df -B1; df -i; cat /proc/loadavg /proc/meminfo /proc/mounts'
done
for server in api workers; do
  # shellcheck disable=SC2016
  tool "docker-$server" 0 ssh -F "$SSH_CONFIG" $server \
    'docker ps -a; docker inspect $(docker ps -aq); docker system df'
done
tool backup 0 ssh -F "$SSH_CONFIG" db "ls -l --time-style=+%s '$BACKUPS'"

for url in "$API_1_URL/health" "$API_2_URL/health" "$MINIO_URL/minio/health/live" "$VIP_URL/health"; do
  tool "http-$(printf %s "$url" | tr -c 'a-z0-9.\n' _)" 0 curl -sf "$url"
done
for host in fcm.googleapis.com oauth2.googleapis.com; do
  tool "proxy-$host" 0 curl -s -x "$PROXY_URL" --cacert "$CA_FILE" "https://$host/"
done

wait
failed=("$HERE"/*.failed)
[ -e "${failed[0]}" ] || exit 0
for mark in "${failed[@]}"; do
  name=$(basename "$mark" .failed)
  printf 'could not look: %s: %s\n' "$name" "$(head -c 300 "$HERE/$name.out" | tr -c "[:print:]" " ")"
done
exit 1
