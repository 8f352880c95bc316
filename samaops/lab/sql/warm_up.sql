-- Purpose: bring tables and indexes into the cache, as on a system that has served for a while. Needs: SELECT.
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions), (SELECT count(*) FROM notifications),
       (SELECT sum(kilowatt_hours) FROM consumption), (SELECT count(fcm_token) FROM users WHERE id % 7 = 0)
