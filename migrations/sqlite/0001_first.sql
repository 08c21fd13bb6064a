-- Times are milliseconds since 1970 UTC and are always passed in: the processes agree on one clock, and tests freeze it.
-- Numbers are E.164 digits without the plus, as integers: compact, and they sort the same way here as in the programs,
-- which take locks in that order.

CREATE TABLE clients (
    id         blob   PRIMARY KEY,
    name       text   NOT NULL,
    created_at integer NOT NULL,
    CONSTRAINT clients_name UNIQUE (name)
) STRICT;

-- Keys are random (24 characters or more), so a plain SHA-256 cannot be searched backwards; the key itself is not kept.
CREATE TABLE api_keys (
    hash       blob   PRIMARY KEY CHECK (length(hash) = 32),
    client_id  blob    NOT NULL REFERENCES clients (id),
    prefix     text    NOT NULL,
    operator   integer NOT NULL,
    created_at integer  NOT NULL,
    revoked_at integer
) STRICT;

-- One row a number, over all clients: one phone, one person being disturbed.
CREATE TABLE numbers (
    phone           integer PRIMARY KEY,
    otp_count       integer NOT NULL,
    ambiguous_count integer NOT NULL,
    last_sent_at    integer,
    paced_until     integer,
    -- When messages were asked for, as text: "ms ms ms". Written and read whole; no statement looks inside.
    asked           text   NOT NULL
) STRICT;

CREATE TABLE client_numbers (
    client_id     blob   NOT NULL,
    phone         integer NOT NULL,
    validated_at  integer,
    failed_checks text   NOT NULL,
    blocked_until integer,
    block_reason  text,
    PRIMARY KEY (phone, client_id)
) STRICT;

-- No foreign keys from here on: their checks lock the referenced rows, outside our lock order.
CREATE TABLE verifications (
    id               blob     PRIMARY KEY, -- version 7: new rows land on the last page of the index
    client_id        blob     NOT NULL,
    phone            integer   NOT NULL,
    purpose          text     NOT NULL,
    account_id       blob,
    session          text     NOT NULL,
    locale           text     NOT NULL,
    app_hash         text,
    origin           text,
    metadata         text     NOT NULL,
    salt             blob    NOT NULL,
    key_id           integer   NOT NULL,
    code_length      integer  NOT NULL,
    created_at       integer   NOT NULL,
    status           text     NOT NULL,
    epoch            integer  NOT NULL,
    epoch_started_at integer   NOT NULL,
    checks_remaining integer  NOT NULL CHECK (checks_remaining >= 0),
    resend_after     integer   NOT NULL,
    expires_at       integer   NOT NULL,
    delivery         text     NOT NULL,
    messages         integer  NOT NULL,
    last_sent_at     integer,
    next_attempt_at  integer,
    error            text,
    gateway_code     integer,
    ended_at         integer,
    updated_at       integer   NOT NULL,
    version          integer   NOT NULL
) STRICT;

-- At most one pending verification a key, whoever races; also how the live one is found.
CREATE UNIQUE INDEX verifications_live ON verifications
    (phone, client_id, purpose, coalesce(account_id, x'00000000000000000000000000000000'), session)
    WHERE status = 'pending';
-- The reaper's.
CREATE INDEX verifications_overdue ON verifications (expires_at) WHERE status = 'pending';

CREATE TABLE messages (
    verification_id blob    NOT NULL,
    seq             integer NOT NULL,
    phone           integer  NOT NULL,
    epoch           integer NOT NULL,
    route           text    NOT NULL,
    state           text    NOT NULL,
    attempts        integer NOT NULL,
    ambiguous       integer NOT NULL,
    due_at          integer  NOT NULL,
    publish_at      integer,
    publishes       integer NOT NULL,
    claim           blob,
    lease_until     integer,
    error           text,
    gateway_code    integer,
    created_at      integer  NOT NULL,
    updated_at      integer  NOT NULL,
    PRIMARY KEY (verification_id, seq)
) STRICT;

-- The outbox: what the relay publishes next. Claimed and final messages are not in it.
CREATE INDEX messages_outbox ON messages (publish_at) WHERE publish_at IS NOT NULL;
-- How long the oldest waits for a worker: what the API sheds load by.
CREATE INDEX messages_waiting ON messages (due_at) WHERE state = 'queued';
-- The reaper's: claims whose worker may have died.
CREATE INDEX messages_leases ON messages (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE workers (
    id      blob   PRIMARY KEY,
    seen_at integer NOT NULL
) STRICT;
