-- +goose Up
ALTER TABLE readers ADD COLUMN read_seq    BIGINT NOT NULL DEFAULT 0; -- the account has read what is up to it
UPDATE readers SET read_seq = seen; -- nobody said so before: what has arrived counts as read
ALTER TABLE readers ADD COLUMN cleared_seq BIGINT NOT NULL DEFAULT 0; -- the account has deleted what is up to it

ALTER TABLE entries ADD COLUMN revoked_by TEXT NOT NULL DEFAULT ''; -- who took the message back; its body is empty then
CREATE INDEX entries_msg ON entries (log_id, msg_id) WHERE msg_id <> '';

-- Messages that an account has deleted for itself.
CREATE TABLE hidden (
    app     BIGINT NOT NULL,
    user_id TEXT   NOT NULL,
    log_id  BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (app, user_id, log_id, seq)
) /* sqlite: WITHOUT ROWID */;

CREATE TABLE blacklist (
    app      BIGINT NOT NULL,
    owner    TEXT   NOT NULL,
    user_id  TEXT   NOT NULL, -- whose messages the owner does not want
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (app, owner, user_id)
) /* sqlite: WITHOUT ROWID */;
