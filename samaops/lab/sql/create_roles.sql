-- Purpose: the application's role and the one that only watches. Needs: superuser; the passwords in the session's
-- settings samaops_lab.password and samaops_lab.monitoring_password.
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaconso_user') THEN
        EXECUTE format('CREATE ROLE samaconso_user LOGIN PASSWORD %L', current_setting('samaops_lab.password'));
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaops') THEN
        EXECUTE format(
            'CREATE ROLE samaops LOGIN IN ROLE pg_monitor PASSWORD %L',
            current_setting('samaops_lab.monitoring_password')
        );
    END IF;
END
$roles$;
