-- Hosted pages. No token is kept, nor a hash of one: tokens are keyed to the ids, and the key is in no database.

CREATE TABLE pages (
    id              blob   PRIMARY KEY, -- version 7: sorts by time
    client_id       blob   NOT NULL,
    purpose         text   NOT NULL,
    account_id      blob,
    locale          text,
    -- The client's own name in its messages, as it was when the page was made.
    app_name        text,
    -- Where the browser is sent at the end; null for a demonstration, which goes nowhere.
    redirect_uri    text,
    -- The caller's own, given back to it.
    state           text   NOT NULL,
    creates_left    integer NOT NULL,
    -- The newest verification that the page began.
    verification_id blob,
    created_at      integer NOT NULL,
    expires_at      integer NOT NULL
) STRICT;

CREATE INDEX pages_expires ON pages (expires_at);

-- What a page's approval may be exchanged for, once.
CREATE TABLE page_codes (
    verification_id blob   PRIMARY KEY,
    client_id       blob   NOT NULL,
    -- The account that it was for, when it was for one.
    account_id      blob,
    created_at      integer NOT NULL,
    expires_at      integer NOT NULL,
    exchanged_at    integer
) STRICT;

CREATE INDEX page_codes_expires ON page_codes (expires_at);
