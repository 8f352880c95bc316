#!/bin/bash
# Script: health_check_complet.sh
# Diagnostic complet du système
#
# The production guide's own script (part 3, section 10.2), word for word, except that addresses, ports and
# credentials come from variables; `run` sets them to the lab's. psql reads PGPASSWORD, docker DOCKER_HOST.

echo "=== DIAGNOSTIC SAMA CONSO ==="
echo ""

# 1. Serveurs
echo "1. État des serveurs:"
ping -c 1 "$DB" > /dev/null 2>&1 && echo "  ✅ SERVEUR 1 (DB)" || echo "  ❌ SERVEUR 1 (DB)"
ping -c 1 "$API" > /dev/null 2>&1 && echo "  ✅ SERVEUR 2 (API)" || echo "  ❌ SERVEUR 2 (API)"
ping -c 1 "$WORKERS_HOST" > /dev/null 2>&1 && echo "  ✅ SERVEUR 3 (Workers)" || echo "  ❌ SERVEUR 3 (Workers)"
echo ""

# 2. Services
echo "2. État des services:"
curl -sf "$API_1_URL/health" > /dev/null && echo "  ✅ API Instance 1" || echo "  ❌ API Instance 1"
curl -sf "$API_2_URL/health" > /dev/null && echo "  ✅ API Instance 2" || echo "  ❌ API Instance 2"
psql -h "$PGBOUNCER_HOST" -p "$PGBOUNCER_PORT" -U "$PGUSER" -d "$PGDATABASE" -c "SELECT 1;" > /dev/null 2>&1 && echo "  ✅ PostgreSQL" || echo "  ❌ PostgreSQL"
redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" ping > /dev/null 2>&1 && echo "  ✅ Redis" || echo "  ❌ Redis"
curl -sf "$RABBITMQ_URL" > /dev/null && echo "  ✅ RabbitMQ" || echo "  ❌ RabbitMQ"
curl -sf "$FLOWER_URL" --user "$FLOWER_USER" > /dev/null && echo "  ✅ Flower" || echo "  ❌ Flower"
echo ""

# 3. Ressources
echo "3. Utilisation des ressources:"
echo "  Espace disque:"
df -h | grep -E "/$|/data" | awk '{print "    " $1 ": " $5 " utilisé"}'
echo ""

# 4. Conteneurs Docker
echo "4. Conteneurs Docker:"
docker ps --format "  {{.Names}}: {{.Status}}"
echo ""

# 5. Workers Celery
echo "5. Workers Celery:"
WORKERS=$(curl -s "$FLOWER_URL/api/workers" --user "$FLOWER_USER" | python3 -c "import sys, json; data=json.load(sys.stdin); print(len(data))")
echo "  Nombre de workers actifs: $WORKERS"
echo ""

# 6. Queues RabbitMQ
echo "6. Files RabbitMQ:"
curl -s -u "$RABBITMQ_USER" "$RABBITMQ_URL/api/queues" | python3 -c "
import sys, json
data = json.load(sys.stdin)
for queue in data:
    print(f\"  {queue['name']}: {queue['messages']} messages\")
"
echo ""

echo "=== FIN DU DIAGNOSTIC ==="
