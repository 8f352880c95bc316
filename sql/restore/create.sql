-- A new database of our own: nobody but a superuser gets in until it is whole.
CREATE DATABASE :"database" TEMPLATE template0 ENCODING :'encoding' LC_COLLATE :'collate' LC_CTYPE :'ctype' CONNECTION LIMIT 0;
COMMENT ON DATABASE :"database" IS :'comment'
