-- One text for SQLite and PostgreSQL: BIGINT has integer affinity in SQLite,
-- BYTEA keeps blobs as they are. What only SQLite understands stands in a
-- comment that begins with "sqlite:", which is opened there (see migrate.go).
-- Times are Unix milliseconds unless a name says otherwise.

-- +goose Up
CREATE TABLE counters (
    name TEXT   NOT NULL PRIMARY KEY,
    n    BIGINT NOT NULL -- the number given out last
);
INSERT INTO counters (name, n) VALUES ('log', 0), ('order', 0);

CREATE TABLE apps (
    id         BIGINT NOT NULL PRIMARY KEY, -- sdkAppId
    created_ms BIGINT NOT NULL
);

CREATE TABLE app_keys (
    app        BIGINT NOT NULL REFERENCES apps (id),
    id         TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    removed_ms BIGINT NOT NULL, -- 0: in force
    PRIMARY KEY (app, id)
);

CREATE TABLE users (
    app            BIGINT NOT NULL REFERENCES apps (id),
    id             TEXT   NOT NULL,
    created_ms     BIGINT NOT NULL,
    blocked_ms     BIGINT NOT NULL, -- 0: not blocked
    revoked_before BIGINT NOT NULL, -- Unix seconds: UserSigs issued before are void
    PRIMARY KEY (app, id)
);

CREATE TABLE eras (
    ord        BIGINT NOT NULL PRIMARY KEY,
    id         BIGINT NOT NULL, -- random; the bits of an unsigned number
    started_ms BIGINT NOT NULL
);

CREATE TABLE logs (
    id     BIGINT NOT NULL PRIMARY KEY,
    app    BIGINT NOT NULL REFERENCES apps (id),
    name   TEXT   NOT NULL,
    head   BIGINT NOT NULL, -- seq of the last entry, 0: none
    era    BIGINT NOT NULL, -- ordinal of the last entry's
    closed BIGINT NOT NULL, -- 1: takes no more entries
    UNIQUE (app, name)
);

CREATE TABLE readers (
    app       BIGINT NOT NULL,
    user_id   TEXT   NOT NULL,
    log_id    BIGINT NOT NULL REFERENCES logs (id),
    from_seq  BIGINT NOT NULL, -- may read what is after it
    start_seq BIGINT NOT NULL, -- where a first cursor begins, at least from_seq
    to_seq    BIGINT,          -- the last that may be read after leaving
    seen      BIGINT NOT NULL, -- the furthest cursor any terminal of the account has told
    PRIMARY KEY (app, user_id, log_id)
);
CREATE INDEX readers_log ON readers (log_id);

CREATE TABLE entries (
    log_id   BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    era      BIGINT NOT NULL,
    time_ms  BIGINT NOT NULL,
    kind     BIGINT NOT NULL,
    from_id  TEXT   NOT NULL,
    term     TEXT   NOT NULL,
    msg_id   TEXT   NOT NULL,
    priority BIGINT NOT NULL,
    body     BYTEA  NOT NULL,
    PRIMARY KEY (log_id, seq)
) /* sqlite: WITHOUT ROWID */;

CREATE TABLE producers (
    app       BIGINT NOT NULL,
    user_id   TEXT   NOT NULL,
    terminal  TEXT   NOT NULL,
    epoch     BIGINT NOT NULL,
    last_cseq BIGINT NOT NULL,
    last_acks BYTEA  NOT NULL, -- the answers to the last batch, see hub
    PRIMARY KEY (app, user_id, terminal)
);

CREATE TABLE chat_groups (
    app        BIGINT NOT NULL REFERENCES apps (id),
    id         TEXT   NOT NULL,
    type       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    add_opt    BIGINT NOT NULL, -- 0 free, 1 an application, 2 nobody
    version    BIGINT NOT NULL, -- rises with every change of the members
    members    BIGINT NOT NULL,
    base_seq   BIGINT NOT NULL, -- head of the log before this group's first entry
    live_epoch BIGINT NOT NULL, -- AVChatRoom: in the name of its topic
    dismissed  BIGINT NOT NULL, -- 1: the id is free again
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (app, id)
);

CREATE TABLE members (
    app       BIGINT NOT NULL,
    group_id  TEXT   NOT NULL,
    user_id   TEXT   NOT NULL,
    role      BIGINT NOT NULL, -- 0 member, 1 admin, 2 owner
    joined    BIGINT NOT NULL, -- the group's version at joining: orders members by age
    joined_ms BIGINT NOT NULL,
    PRIMARY KEY (app, group_id, user_id)
);
CREATE INDEX members_user ON members (app, user_id);

CREATE TABLE applications (
    app        BIGINT NOT NULL,
    group_id   TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    msg        TEXT   NOT NULL,
    applied_ms BIGINT NOT NULL,
    PRIMARY KEY (app, group_id, user_id)
);

CREATE TABLE orders (
    id         BIGINT NOT NULL PRIMARY KEY, -- in order of commit
    app        BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    arg        TEXT   NOT NULL,
    ordered_ms BIGINT NOT NULL
);
