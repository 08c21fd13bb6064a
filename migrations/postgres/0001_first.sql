-- Times are milliseconds since 1970 UTC and are always passed in: the processes agree on one clock, and tests freeze it.
-- Numbers are E.164 digits without the plus, as integers: compact, and they sort the same way here as in the programs,
-- which take locks in that order.

CREATE TABLE clients (
    id         uuid   PRIMARY KEY,
    name       text   NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT clients_name UNIQUE (name)
);

-- Keys are random (24 characters or more), so a plain SHA-256 cannot be searched backwards; the key itself is not kept.
CREATE TABLE api_keys (
    hash       bytea   PRIMARY KEY CHECK (length(hash) = 32),
    client_id  uuid    NOT NULL REFERENCES clients (id),
    prefix     text    NOT NULL,
    operator   boolean NOT NULL,
    created_at bigint  NOT NULL,
    revoked_at bigint
);

-- One row a number, over all clients: one phone, one person being disturbed.
CREATE TABLE numbers (
    phone           bigint PRIMARY KEY,
    otp_count       bigint NOT NULL,
    ambiguous_count bigint NOT NULL,
    last_sent_at    bigint,
    paced_until     bigint,
    -- When messages were asked for, as text: "ms ms ms". Written and read whole; no statement looks inside.
    asked           text   NOT NULL
) WITH (fillfactor = 80); -- room for updates in place: no updated column is indexed

CREATE TABLE client_numbers (
    client_id     uuid   NOT NULL,
    phone         bigint NOT NULL,
    validated_at  bigint,
    failed_checks text   NOT NULL,
    blocked_until bigint,
    block_reason  text,
    PRIMARY KEY (phone, client_id)
) WITH (fillfactor = 80);

-- No foreign keys from here on: their checks lock the referenced rows, outside our lock order.
CREATE TABLE verifications (
    id               uuid     PRIMARY KEY, -- version 7: new rows land on the last page of the index
    client_id        uuid     NOT NULL,
    phone            bigint   NOT NULL,
    purpose          text     NOT NULL,
    account_id       uuid,
    session          text     NOT NULL,
    locale           text     NOT NULL,
    app_hash         text,
    origin           text,
    metadata         text     NOT NULL,
    salt             bytea    NOT NULL,
    key_id           bigint   NOT NULL,
    code_length      integer  NOT NULL,
    created_at       bigint   NOT NULL,
    status           text     NOT NULL,
    epoch            integer  NOT NULL,
    epoch_started_at bigint   NOT NULL,
    checks_remaining integer  NOT NULL CHECK (checks_remaining >= 0),
    resend_after     bigint   NOT NULL,
    expires_at       bigint   NOT NULL,
    delivery         text     NOT NULL,
    messages         integer  NOT NULL,
    last_sent_at     bigint,
    next_attempt_at  bigint,
    error            text,
    gateway_code     integer,
    ended_at         bigint,
    updated_at       bigint   NOT NULL,
    version          bigint   NOT NULL
) WITH (fillfactor = 80);

-- At most one pending verification a key, whoever races; also how the live one is found.
CREATE UNIQUE INDEX verifications_live ON verifications
    (phone, client_id, purpose, (coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid)), session)
    WHERE status = 'pending';
-- The reaper's.
CREATE INDEX verifications_overdue ON verifications (expires_at) WHERE status = 'pending';

CREATE TABLE messages (
    verification_id uuid    NOT NULL,
    seq             integer NOT NULL,
    phone           bigint  NOT NULL,
    epoch           integer NOT NULL,
    route           text    NOT NULL,
    state           text    NOT NULL,
    attempts        integer NOT NULL,
    ambiguous       integer NOT NULL,
    due_at          bigint  NOT NULL,
    publish_at      bigint,
    publishes       integer NOT NULL,
    claim           uuid,
    lease_until     bigint,
    error           text,
    gateway_code    integer,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    PRIMARY KEY (verification_id, seq)
) WITH (fillfactor = 80);

-- The outbox: what the relay publishes next. Claimed and final messages are not in it.
CREATE INDEX messages_outbox ON messages (publish_at) WHERE publish_at IS NOT NULL;
-- How long the oldest waits for a worker: what the API sheds load by.
CREATE INDEX messages_waiting ON messages (due_at) WHERE state = 'queued';
-- The reaper's: claims whose worker may have died.
CREATE INDEX messages_leases ON messages (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE workers (
    id      uuid   PRIMARY KEY,
    seen_at bigint NOT NULL
);
