-- What is left of quotas that refill evenly (clients, addresses): full again from full_at on, in microseconds since 1970.
-- A key without a row has all of its quota, so rows that are full again may go.
CREATE TABLE allowances (
    key     text   PRIMARY KEY,
    full_at bigint NOT NULL
);
-- The reaper's.
CREATE INDEX allowances_full ON allowances (full_at);

-- First answers to requests with an Idempotency-Key, without any token. Written with the effect they tell of. The key,
-- its client, credential and path are hashed together; so is the body, with a key of ours.
CREATE TABLE answers (
    scope      blob  PRIMARY KEY CHECK (length(scope) = 32),
    body       blob  NOT NULL,
    answer     text   NOT NULL,
    created_at bigint NOT NULL
);
-- The reaper's.
CREATE INDEX answers_age ON answers (created_at);

-- Lists: a client's verifications, newest first, all or of one number. Ids of version 7 sort by their time.
CREATE INDEX verifications_listed ON verifications (client_id, id);
CREATE INDEX verifications_of_number ON verifications (phone, id);
