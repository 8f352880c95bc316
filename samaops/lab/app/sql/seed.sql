-- Purpose: about 200,000 rows of made-up customers (20,000 users). Needs: the empty tables of schema.sql, owner.
INSERT INTO users (id, meter_number, full_name, phone, fcm_token, created_at)
SELECT n, 'M' || lpad(n::text, 11, '0'), 'Client ' || n, '+22177' || lpad(n::text, 7, '0'),
       'lab-token-' || n, now() - (n % 700) * interval '1 day'
FROM generate_series(1, 20000) AS n;

INSERT INTO sessions (user_id, created_at, expires_at)
SELECT n, now() - (n % 48) * interval '1 hour', now() + (n % 72) * interval '1 hour'
FROM generate_series(1, 20000) AS n;

INSERT INTO notifications (user_id, priority, message, created_at, sent_at)
SELECT 1 + n % 20000, (ARRAY['urgent', 'high_priority', 'normal', 'low_priority'])[1 + n % 4],
       'Votre facture est disponible', now() - (n % 60) * interval '1 day', now() - (n % 60) * interval '1 day'
FROM generate_series(0, 39999) AS n;

INSERT INTO consumption (user_id, period, kilowatt_hours, amount_xof)
SELECT n, (date_trunc('month', now()) - m * interval '1 month')::date, 80 + (n * 7 + m * 13) % 400,
       (80 + (n * 7 + m * 13) % 400) * 112
FROM generate_series(1, 20000) AS n, generate_series(1, 6) AS m;

SELECT setval(pg_get_serial_sequence('users', 'id'), 20000);
