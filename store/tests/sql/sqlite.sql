DELETE FROM account_groups WHERE id = $1
DELETE FROM accounts WHERE id = $1
DELETE FROM allowances WHERE key IN (SELECT key FROM allowances WHERE full_at <= $2 ORDER BY full_at LIMIT $1)
DELETE FROM answers WHERE scope IN (SELECT scope FROM answers WHERE created_at <= $2 ORDER BY created_at LIMIT $1)
DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id < $2 ORDER BY id LIMIT $1)
DELETE FROM memberships WHERE account_id = $1
DELETE FROM memberships WHERE group_id = $1
DELETE FROM operator_sessions WHERE hash = $1
DELETE FROM operator_sessions WHERE hash IN (SELECT hash FROM operator_sessions WHERE expires_at <= $2 LIMIT $1)
DELETE FROM page_codes WHERE verification_id IN (SELECT verification_id FROM page_codes WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1)
DELETE FROM pages WHERE id IN (SELECT id FROM pages WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1)
DELETE FROM pauses WHERE one = 1
DELETE FROM samples WHERE (at, process) IN (SELECT at, process FROM samples WHERE at <= $2 OR (at BETWEEN $3 AND $4 AND at % 60000 <> 0) ORDER BY at LIMIT $1)
DELETE FROM workers WHERE id = $1
DELETE FROM workers WHERE seen_at <= $1
INSERT INTO account_groups (id, client_id, name, permissions, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
INSERT INTO accounts (username, username_key, first_name, last_name, email, phone, phone_verified, is_active, updated_at, last_login_at, id, client_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
INSERT INTO allowances (key, full_at) VALUES (?, ?)
INSERT INTO answers (scope, body, answer, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (scope) DO UPDATE SET body = excluded.body, answer = excluded.answer, created_at = excluded.created_at WHERE answers.created_at <= ?5
INSERT INTO api_keys (hash, client_id, prefix, operator, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING
INSERT INTO audit_log (id, at, who, key_prefix, act, what) VALUES ($1, $2, $3, $4, $5, $6)
INSERT INTO client_numbers (client_id, phone, validated_at, failed_checks, blocked_until, block_reason) VALUES (?, ?, ?, ?, ?, ?)
INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
INSERT INTO memberships (account_id, group_id) VALUES ($1, $2)
INSERT INTO messages (verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, publish_at, publishes, claim, lease_until, error, gateway_code, created_at, updated_at, parts, gateway_error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
INSERT INTO numbers (phone, otp_count, ambiguous_count, asked, blocked_until, block_reason) VALUES ($1, 0, 0, '', $2, $3) ON CONFLICT (phone) DO UPDATE SET blocked_until = excluded.blocked_until, block_reason = excluded.block_reason
INSERT INTO numbers (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) VALUES (?, ?, ?, ?, ?, ?)
INSERT INTO operator_sessions (hash, key_hash, expires_at) VALUES ($1, $2, $3)
INSERT INTO page_codes (verification_id, client_id, account_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (verification_id) DO NOTHING
INSERT INTO pages (id, client_id, purpose, account_id, locale, app_name, redirect_uri, state, creates_left, verification_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
INSERT INTO pauses (one, since, who, reason) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING
INSERT INTO samples (at, process, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
INSERT INTO usage_days AS d (day, client_id, messages, parts, uncertain, failed, unbilled) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (day, client_id) DO UPDATE SET messages = d.messages + excluded.messages, parts = d.parts + excluded.parts, uncertain = d.uncertain + excluded.uncertain, failed = d.failed + excluded.failed, unbilled = d.unbilled + excluded.unbilled
INSERT INTO usage_progress (one, until) VALUES (1, $1) ON CONFLICT (one) DO NOTHING
INSERT INTO verifications (id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
INSERT INTO workers (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = $2
SELECT (SELECT count(*) FROM (SELECT 1 FROM messages WHERE publish_at <= $1 LIMIT $2) AS due), (SELECT count(*) FROM workers WHERE seen_at > $3)
SELECT (m.updated_at + 20700000) / 86400000 AS day, v.client_id, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS messages, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN coalesce(m.parts, 1) ELSE 0 END) AS bigint) AS parts, CAST(sum(CASE WHEN m.route = 'gateway' THEN m.ambiguous * coalesce(m.parts, 1) ELSE 0 END) AS bigint) AS uncertain, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'failed' THEN 1 ELSE 0 END) AS bigint) AS failed, CAST(sum(CASE WHEN m.route <> 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS unbilled FROM messages m JOIN verifications v ON v.id = m.verification_id WHERE m.verification_id >= $1 AND m.verification_id < $2 GROUP BY 1, 2
SELECT (m.updated_at + 20700000) / 86400000 AS day, v.client_id, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS messages, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN coalesce(m.parts, 1) ELSE 0 END) AS bigint) AS parts, CAST(sum(CASE WHEN m.route = 'gateway' THEN m.ambiguous * coalesce(m.parts, 1) ELSE 0 END) AS bigint) AS uncertain, CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'failed' THEN 1 ELSE 0 END) AS bigint) AS failed, CAST(sum(CASE WHEN m.route <> 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS unbilled FROM messages m JOIN verifications v ON v.id = m.verification_id WHERE m.verification_id >= $1 GROUP BY 1, 2
SELECT at, process, body FROM samples WHERE (at, process) > ($1, $2) ORDER BY at, process LIMIT $3
SELECT c.id, c.name, k.operator, app_name, cors_origins, redirect_uris, rate, address_hourly FROM api_keys k JOIN clients c ON c.id = k.client_id WHERE k.hash = $1 AND k.revoked_at IS NULL
SELECT client_id, phone, validated_at, failed_checks, blocked_until, block_reason FROM client_numbers WHERE phone = $1
SELECT client_id, phone, validated_at, failed_checks, blocked_until, block_reason FROM client_numbers WHERE phone = $1 AND client_id = $2
SELECT client_id, phone, validated_at, failed_checks, blocked_until, block_reason FROM client_numbers WHERE phone = ? AND client_id = ? AND blocked_until IS NOT NULL
SELECT count(*) FROM (SELECT 1 FROM messages WHERE state = 'queued' AND due_at <= $1 AND route = 'gateway' LIMIT $2) AS waiting
SELECT count(*) FROM messages WHERE verification_id >= $1 AND verification_id < $2 AND state IN ('queued', 'sending')
SELECT count(*) FROM workers WHERE seen_at > $1
SELECT count(*), min(due_at) FROM (SELECT due_at FROM messages WHERE state = 'queued' AND due_at > $1 AND attempts > 0 AND route = 'gateway' ORDER BY due_at LIMIT $2) AS retried
SELECT day, client_id, messages, parts, uncertain, failed, unbilled FROM usage_days WHERE day >= $1
SELECT due_at FROM messages WHERE state = 'queued' AND due_at <= $1 AND route = 'gateway' ORDER BY due_at LIMIT 1
SELECT id FROM verifications WHERE id >= $1 ORDER BY id LIMIT 1
SELECT id FROM verifications WHERE phone = $1 ORDER BY id DESC LIMIT $2
SELECT id FROM verifications WHERE status = 'pending' AND expires_at <= $1 ORDER BY expires_at LIMIT $2
SELECT id, app_name, cors_origins, redirect_uris, rate, address_hourly FROM clients WHERE id = ? AND (rate IS NOT NULL OR address_hourly IS NOT NULL)
SELECT id, at, who, key_prefix, act, what FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2
SELECT id, client_id, name, permissions, created_at, updated_at FROM account_groups WHERE client_id = ? AND name IN (?) ORDER BY name
SELECT id, client_id, name, permissions, created_at, updated_at FROM account_groups WHERE client_id = ? ORDER BY name
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND (status = 'expired' OR (status = 'pending' AND expires_at <= ?)) ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND delivery = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND id < ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND phone = ? AND delivery = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND phone = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND status = 'pending' AND expires_at > ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? AND status = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE client_id = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE id = ?
SELECT id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, app_name, history, gateway_error FROM verifications WHERE phone = ? AND client_id = ? AND status = 'pending'
SELECT id, client_id, purpose, account_id, locale, app_name, redirect_uri, state, creates_left, verification_id, created_at, expires_at FROM pages WHERE id = $1
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE ((client_id = ? AND id = ?)) ORDER BY id
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? AND id < ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? AND id = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? AND phone = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? AND username_key = ? ORDER BY id
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? AND username_key = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE client_id = ? ORDER BY id DESC LIMIT ?
SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at FROM accounts WHERE phone_verified AND ((client_id = ? AND phone = ?)) ORDER BY id
SELECT id, name FROM clients
SELECT id, name, created_at, app_name, cors_origins, redirect_uris, rate, address_hourly FROM clients
SELECT id, seen_at, state FROM workers
SELECT k.hash, c.name AS client_name, k.prefix, k.operator, k.created_at, k.revoked_at FROM api_keys k JOIN clients c ON c.id = k.client_id
SELECT k.hash, k.prefix, c.name FROM operator_sessions s JOIN api_keys k ON k.hash = s.key_hash JOIN clients c ON c.id = k.client_id WHERE s.hash = $1 AND s.expires_at > $2 AND k.revoked_at IS NULL AND k.operator
SELECT key, full_at FROM allowances WHERE key = ?
SELECT m.account_id, g.name, g.permissions FROM memberships m JOIN account_groups g ON g.id = m.group_id WHERE m.account_id IN (?)
SELECT phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked, blocked_until, block_reason FROM numbers WHERE phone = $1
SELECT scope, body, answer, created_at FROM answers WHERE scope = ?
SELECT since, who, reason FROM pauses WHERE one = 1
SELECT until FROM usage_progress WHERE one = 1
SELECT verification_id, client_id, account_id, created_at, expires_at, exchanged_at FROM page_codes WHERE verification_id = $1
SELECT verification_id, seq FROM messages WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2
SELECT verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, publish_at, publishes, claim, lease_until, error, gateway_code, created_at, updated_at, parts, gateway_error FROM messages WHERE verification_id = $1 ORDER BY seq
SELECT verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, publish_at, publishes, claim, lease_until, error, gateway_code, created_at, updated_at, parts, gateway_error FROM messages WHERE verification_id = ? AND seq = ?
UPDATE account_groups SET permissions = $1, updated_at = $2 WHERE id = $3
UPDATE accounts SET username = $1, username_key = $2, first_name = $3, last_name = $4, email = $5, phone = $6, phone_verified = $7, is_active = $8, updated_at = $9, last_login_at = $10 WHERE id = $11 AND client_id = $12 AND created_at = $13
UPDATE allowances SET full_at = ?2 WHERE key = ?1
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE hash = $1 RETURNING revoked_at
UPDATE client_numbers SET validated_at = ?3, failed_checks = ?4, blocked_until = ?5, block_reason = ?6 WHERE client_id = ?1 AND phone = ?2
UPDATE clients SET app_name = CASE WHEN $2 THEN $3 ELSE app_name END, cors_origins = CASE WHEN $4 THEN $5 ELSE cors_origins END, redirect_uris = CASE WHEN $6 THEN $7 ELSE redirect_uris END, rate = CASE WHEN $8 THEN $9 ELSE rate END, address_hourly = CASE WHEN $10 THEN $11 ELSE address_hourly END WHERE name = $1 RETURNING id, name, created_at, app_name, cors_origins, redirect_uris, rate, address_hourly
UPDATE messages SET publish_at = ?2 + ?3 WHERE (verification_id, seq) IN (SELECT verification_id, seq FROM messages WHERE publish_at <= ?2 ORDER BY publish_at LIMIT ?1) RETURNING verification_id, seq
UPDATE messages SET publishes = publishes + 1, publish_at = ?3 + ?4 * (1 << min(publishes, 6)) WHERE verification_id = ?1 AND seq = ?2 AND publish_at IS NOT NULL AND due_at <= ?3
UPDATE messages SET state = ?3, attempts = ?4, ambiguous = ?5, due_at = ?6, publish_at = ?7, publishes = ?8, claim = ?9, lease_until = ?10, error = ?11, gateway_code = ?12, updated_at = ?13, parts = ?14, gateway_error = ?15 WHERE verification_id = ?1 AND seq = ?2
UPDATE numbers SET blocked_until = NULL, block_reason = NULL WHERE phone = $1
UPDATE numbers SET otp_count = ?2, ambiguous_count = ?3, last_sent_at = ?4, paced_until = ?5, asked = ?6 WHERE phone = ?1
UPDATE page_codes SET exchanged_at = $2 WHERE verification_id = $1
UPDATE pages SET creates_left = $2, verification_id = $3 WHERE id = $1
UPDATE usage_progress SET until = $2 WHERE one = 1 AND until = $1
UPDATE verifications SET status = ?2, epoch = ?3, epoch_started_at = ?4, checks_remaining = ?5, resend_after = ?6, expires_at = ?7, delivery = ?8, messages = ?9, last_sent_at = ?10, next_attempt_at = ?11, error = ?12, gateway_code = ?13, ended_at = ?14, updated_at = ?15, version = ?16, history = ?17, gateway_error = ?18 WHERE id = ?1 AND version <= ?16
UPDATE workers SET state = $2 WHERE id = $1
