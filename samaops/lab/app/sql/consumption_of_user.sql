-- Purpose: the last twelve months of one customer. Needs: SELECT on consumption.
SELECT period, kilowatt_hours, amount_xof
FROM consumption
WHERE user_id = %(user_id)s
ORDER BY period DESC
LIMIT 12
