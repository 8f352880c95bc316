-- Purpose: the application's role and the one that only watches. Needs: superuser; the passwords in the session's
-- settings samaops_lab.password and samaops_lab.monitoring_password.
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaconso_user') THEN
        CREATE ROLE samaconso_user LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaops') THEN
        CREATE ROLE samaops LOGIN IN ROLE pg_monitor;
    END IF;
    EXECUTE format('ALTER ROLE samaconso_user PASSWORD %L', current_setting('samaops_lab.password'));
    EXECUTE format('ALTER ROLE samaops PASSWORD %L', current_setting('samaops_lab.monitoring_password'));
END
$roles$;
