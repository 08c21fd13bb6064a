-- Its condition no longer follows from `status = 'pending'` alone: when PostgreSQL had last counted while nothing was pending, it
-- took this index for an empty one, and read all of it to find one number's verification. `expires_at <= …` implies the rest.
DROP INDEX verifications_overdue;
CREATE INDEX verifications_overdue ON verifications (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
