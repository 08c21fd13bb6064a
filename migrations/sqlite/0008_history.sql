-- What happened to a verification, as text; see common/src/history.rs. Written and read whole; no statement looks inside.
-- The default is for the rows of the release before, and for those that it still writes while it runs beside this one.
ALTER TABLE verifications ADD COLUMN history text NOT NULL DEFAULT '';

-- SMS parts of the message's text, each a credit: what the gateway's bill counts. Null until the gateway may have taken it.
ALTER TABLE messages ADD COLUMN parts integer;
