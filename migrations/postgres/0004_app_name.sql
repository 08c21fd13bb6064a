-- The client application's own name in its messages, as it was when the code was asked for; without one the
-- installation's.
ALTER TABLE verifications ADD COLUMN app_name text;
