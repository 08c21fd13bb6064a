-- SQLite does not count by itself. The versions of both schemas stay the same.
SELECT 1;
