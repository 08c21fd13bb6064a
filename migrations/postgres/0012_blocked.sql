-- Whether a client has blocked a number is asked at each request, of next to no row, while the table has one for every number
-- that was ever checked. Neither that row nor the large index has to be looked at for it.
CREATE INDEX client_numbers_blocked ON client_numbers (phone, client_id) WHERE blocked_until IS NOT NULL;
