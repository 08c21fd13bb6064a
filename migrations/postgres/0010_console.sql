-- A number that operators have blocked for all clients.
ALTER TABLE numbers ADD COLUMN blocked_until bigint;
ALTER TABLE numbers ADD COLUMN block_reason  text;

-- Sign-ins to the console. What the browser holds is random, so a plain SHA-256 of it will do; a session is over when its
-- key is revoked, which is asked at each request.
CREATE TABLE operator_sessions (
    hash       bytea  PRIMARY KEY CHECK (length(hash) = 32),
    key_hash   bytea  NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX operator_sessions_over ON operator_sessions (expires_at);

-- What operators did. Only ever added to, and forgotten after 400 days.
CREATE TABLE audit_log (
    id         uuid   PRIMARY KEY, -- version 7: sorts by time
    at         bigint NOT NULL,
    who        text   NOT NULL,
    key_prefix text   NOT NULL,
    act        text   NOT NULL,
    what       text   NOT NULL
);

-- One row while sending is stopped.
CREATE TABLE pauses (
    one    integer PRIMARY KEY CHECK (one = 1),
    since  bigint  NOT NULL,
    who    text    NOT NULL,
    reason text    NOT NULL
);

-- What a worker says of itself, as JSON; empty from a release that says nothing.
ALTER TABLE workers ADD COLUMN state text NOT NULL DEFAULT '';

-- The counters of each process every few seconds: what the console's charts are drawn from. Kept for a day.
CREATE TABLE samples (
    at      bigint NOT NULL,
    process uuid   NOT NULL,
    body    text   NOT NULL,
    PRIMARY KEY (at, process)
);

-- What the messages of a client come to on a day in Nepal. All verifications made before usage_progress.until are in it, none
-- made later.
CREATE TABLE usage_days (
    day       bigint NOT NULL, -- days since 1970
    client_id uuid   NOT NULL,
    messages  bigint NOT NULL,
    parts     bigint NOT NULL,
    uncertain bigint NOT NULL,
    failed    bigint NOT NULL,
    unbilled  bigint NOT NULL,
    PRIMARY KEY (day, client_id)
);
CREATE TABLE usage_progress (
    one   integer PRIMARY KEY CHECK (one = 1),
    until bigint  NOT NULL
);
