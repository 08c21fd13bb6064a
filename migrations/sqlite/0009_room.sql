-- PostgreSQL leaves room in its pages here; SQLite changes rows in place. The versions of both schemas stay the same.
SELECT 1;
