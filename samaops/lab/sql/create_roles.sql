-- Purpose: the application's role, and that of samaops as sql/postgresql/role.sql makes it. Needs: superuser; the passwords in the session's
-- settings samaops_lab.password and samaops_lab.monitoring_password.
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaconso_user') THEN
        EXECUTE format('CREATE ROLE samaconso_user LOGIN PASSWORD %L', current_setting('samaops_lab.password'));
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaops') THEN
        EXECUTE format(
            'CREATE ROLE samaops LOGIN PASSWORD %L',
            current_setting('samaops_lab.monitoring_password')
        );
    END IF;
    GRANT pg_monitor, pg_signal_backend, pg_checkpoint, samaconso_user TO samaops;
END
$roles$;
