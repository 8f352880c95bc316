-- Purpose: how many rows the application's tables have and a checksum of them; notifications are added by every load.
-- Needs: PostgreSQL 12, SELECT on the application's tables.
SELECT 'users', count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM users t
UNION ALL
SELECT 'consumption', count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM consumption t
UNION ALL
SELECT 'sessions', count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM sessions t;
