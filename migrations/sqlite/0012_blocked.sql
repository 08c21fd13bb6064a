-- PostgreSQL has an index of blocked numbers here; SQLite would go by the primary key all the same. The versions of both schemas
-- stay the same.
SELECT 1;
