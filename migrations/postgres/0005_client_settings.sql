-- What is set for one client application; null goes by the settings of the programs. Lists have one entry a line. Amounts
-- are 0 when the limit is off.
ALTER TABLE clients ADD COLUMN app_name       text;
ALTER TABLE clients ADD COLUMN cors_origins   text;
ALTER TABLE clients ADD COLUMN redirect_uris  text;
ALTER TABLE clients ADD COLUMN rate           integer CHECK (rate >= 0);
ALTER TABLE clients ADD COLUMN address_hourly integer CHECK (address_hourly >= 0);
