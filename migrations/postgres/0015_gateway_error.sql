-- The gateway's code for an error, as text: gateway_code has room for numbers only. This release writes both, for the release
-- before it, which knows only the number, and reads the number where there is no text that belongs to it. The next release reads
-- the text alone, after it has filled it in where it is missing; the one after that drops gateway_code.
ALTER TABLE verifications ADD COLUMN gateway_error text;
ALTER TABLE messages ADD COLUMN gateway_error text;
ALTER TABLE verifications ALTER COLUMN gateway_error SET STATISTICS 10;
ALTER TABLE messages ALTER COLUMN gateway_error SET STATISTICS 10;
