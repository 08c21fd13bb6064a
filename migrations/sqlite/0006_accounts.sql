-- The sign-up and sign-in wall. Everything here is a client application's own.

CREATE TABLE accounts (
    id             blob    PRIMARY KEY, -- version 7: sorts by time
    client_id      blob    NOT NULL,
    username       text    NOT NULL,
    -- What usernames are compared by: normalised, without case.
    username_key   text    NOT NULL,
    first_name     text    NOT NULL,
    last_name      text    NOT NULL,
    email          text,
    phone          integer,
    phone_verified integer NOT NULL,
    is_active      integer NOT NULL,
    created_at     integer  NOT NULL,
    updated_at     integer  NOT NULL,
    last_login_at  integer
) STRICT;

CREATE UNIQUE INDEX accounts_username ON accounts (client_id, username_key);
-- At most one account has a number verified, whoever races; also how the one that signs in is found.
CREATE UNIQUE INDEX accounts_verified_phone ON accounts (client_id, phone) WHERE phone_verified;
CREATE INDEX accounts_phone ON accounts (client_id, phone);
CREATE INDEX accounts_listed ON accounts (client_id, id);

CREATE TABLE account_groups (
    id          blob   PRIMARY KEY,
    client_id   blob   NOT NULL,
    name        text   NOT NULL,
    -- Names of permissions, sorted, separated by spaces. Written and read whole; no statement looks inside.
    permissions text   NOT NULL,
    created_at  integer NOT NULL,
    updated_at  integer NOT NULL
) STRICT;

CREATE UNIQUE INDEX account_groups_name ON account_groups (client_id, name);

CREATE TABLE memberships (
    account_id blob NOT NULL,
    group_id   blob NOT NULL,
    PRIMARY KEY (account_id, group_id)
) STRICT;

CREATE INDEX memberships_of_group ON memberships (group_id);
