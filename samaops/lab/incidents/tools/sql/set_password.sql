-- Purpose: give the application's role another password, or back the secret that PgBouncer has of it. Needs: superuser; the secret in the
-- session's setting samaops_lab.secret.
DO $password$
BEGIN
    EXECUTE format('ALTER ROLE samaconso_user PASSWORD %L', current_setting('samaops_lab.secret'));
END
$password$;
