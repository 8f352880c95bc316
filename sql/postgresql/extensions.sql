-- Which of some extensions this database has, and which the server could install.
-- Needs: PostgreSQL 12, any role.
SELECT name, installed_version
FROM pg_available_extensions
WHERE name = ANY(%(names)s)
