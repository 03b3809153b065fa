-- +goose Up
-- Files that are there. The bytes are elsewhere: storage says where.
CREATE TABLE files (
    app        BIGINT NOT NULL,
    hash       TEXT   NOT NULL, -- SHA-256, 64 lower hex digits
    size       BIGINT NOT NULL,
    storage    TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    sent_ms    BIGINT NOT NULL, -- when a message named it last, to a day; 0: none did
    used_ms    BIGINT NOT NULL, -- when it was sent or fetched last, to a day
    refs       BIGINT NOT NULL, -- its rows in file_refs
    PRIMARY KEY (app, hash)
);
CREATE INDEX files_used ON files (app, used_ms);
CREATE INDEX files_sent ON files (app, sent_ms);
CREATE INDEX files_unused ON files (app, created_ms) WHERE refs = 0;

-- Who has uploaded a file, all of it. The row may outlive the file.
CREATE TABLE file_owners (
    app      BIGINT NOT NULL,
    hash     TEXT   NOT NULL,
    user_id  TEXT   NOT NULL,
    added_ms BIGINT NOT NULL, -- or asked again whether it is there
    PRIMARY KEY (app, hash, user_id)
) /* sqlite: WITHOUT ROWID */;
CREATE INDEX file_owners_added ON file_owners (app, added_ms);

-- Messages that name a file. The row outlives the file.
CREATE TABLE file_refs (
    app    BIGINT NOT NULL,
    hash   TEXT   NOT NULL,
    log_id BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (app, hash, log_id, seq)
) /* sqlite: WITHOUT ROWID */;
CREATE INDEX file_refs_entry ON file_refs (log_id, seq);

-- Who may fetch a file because a message that is kept nowhere named it.
CREATE TABLE file_grants (
    app      BIGINT NOT NULL,
    hash     TEXT   NOT NULL,
    user_id  TEXT   NOT NULL, -- empty: members of a group
    group_id TEXT   NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (app, hash, user_id, group_id)
) /* sqlite: WITHOUT ROWID */;
CREATE INDEX file_grants_until ON file_grants (app, until_ms);
