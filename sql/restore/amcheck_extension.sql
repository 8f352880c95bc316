-- Whether the server has the extension that reads an index against its table.
SELECT json_build_object('is_available', EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck'))
