-- Hosted pages. No token is kept, nor a hash of one: tokens are keyed to the ids, and the key is in no database.

CREATE TABLE pages (
    id              uuid   PRIMARY KEY, -- version 7: sorts by time
    client_id       uuid   NOT NULL,
    purpose         text   NOT NULL,
    account_id      uuid,
    locale          text,
    -- The client's own name in its messages, as it was when the page was made.
    app_name        text,
    -- Where the browser is sent at the end; null for a demonstration, which goes nowhere.
    redirect_uri    text,
    -- The caller's own, given back to it.
    state           text   NOT NULL,
    creates_left    int    NOT NULL,
    -- The newest verification that the page began.
    verification_id uuid,
    created_at      bigint NOT NULL,
    expires_at      bigint NOT NULL
);

CREATE INDEX pages_expires ON pages (expires_at);

-- What a page's approval may be exchanged for, once.
CREATE TABLE page_codes (
    verification_id uuid   PRIMARY KEY,
    client_id       uuid   NOT NULL,
    -- The account that it was for, when it was for one.
    account_id      uuid,
    created_at      bigint NOT NULL,
    expires_at      bigint NOT NULL,
    exchanged_at    bigint
);

CREATE INDEX page_codes_expires ON page_codes (expires_at);
