-- One setting of a database, or of a role in it; "value" is written as the parameter wants it.
SELECT format('ALTER %s SET %s TO %s',
              CASE WHEN :'role' = '' THEN format('DATABASE %I', :'database')
                   ELSE format('ROLE %I IN DATABASE %I', :'role', :'database') END,
              -- a parameter of an extension has a dot in its name
              (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(:'name', '.')) AS part),
              (SELECT coalesce(string_agg(quote_literal(part), ', '), '''''') FROM json_array_elements_text(:'values'::json) AS part))
\gexec
