-- The largest tables: what their rows would take, as far as statistics tell, and whether autovacuum leaves them alone.
-- Needs: PostgreSQL 12; the row's width is NULL for a table that this role may not read, or that was never analysed.
SELECT nspname || '.' || relname AS relation,
       relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
       nullif(reltuples, -1)::bigint AS live_rows,
       -- the header of a row and its place in the page, as far as they are the same for all
       28 + (SELECT sum((1 - null_frac) * avg_width)
             FROM pg_stats WHERE schemaname = nspname AND tablename = relname AND NOT inherited)::float8 AS row_bytes,
       coalesce((SELECT substr(option, strpos(option, '=') + 1)
                 FROM unnest(reloptions) AS option WHERE option LIKE 'fillfactor=%'), '100')::float8 AS fill_percent,
       coalesce(reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off'], false) AS is_left_alone
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND relpersistence <> 't' AND relpages >= 1000
ORDER BY relpages DESC
LIMIT 50
