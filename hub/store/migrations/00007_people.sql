-- +goose Up
ALTER TABLE users ADD COLUMN nick       TEXT   NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN face       TEXT   NOT NULL DEFAULT ''; -- URL of a picture
ALTER TABLE users ADD COLUMN named      BIGINT NOT NULL DEFAULT 0;  -- 1: has a nick or a face, or has had one
ALTER TABLE users ADD COLUMN signature  TEXT   NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN gender     BIGINT NOT NULL DEFAULT 0;  -- 0 unknown, 1 male, 2 female
ALTER TABLE users ADD COLUMN allow_type BIGINT NOT NULL DEFAULT 0;  -- who asks to be a friend: 0 is one, 1 is refused, 2 has to wait
ALTER TABLE users ADD COLUMN group_applications_read_ms  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN friend_applications_read_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE chat_groups ADD COLUMN introduction TEXT   NOT NULL DEFAULT '';
ALTER TABLE chat_groups ADD COLUMN notification TEXT   NOT NULL DEFAULT '';
ALTER TABLE chat_groups ADD COLUMN face         TEXT   NOT NULL DEFAULT '';
ALTER TABLE chat_groups ADD COLUMN all_muted    BIGINT NOT NULL DEFAULT 0;  -- 1: ordinary members are silent
ALTER TABLE chat_groups ADD COLUMN changed_ms   BIGINT NOT NULL DEFAULT 0;
ALTER TABLE chat_groups ADD COLUMN attributes   TEXT   NOT NULL DEFAULT ''; -- JSON, an object of strings; empty: none
UPDATE chat_groups SET changed_ms = created_ms;

ALTER TABLE members ADD COLUMN name_card   TEXT   NOT NULL DEFAULT '';
ALTER TABLE members ADD COLUMN muted_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN recv_opt    BIGINT NOT NULL DEFAULT 0; -- 0 received, 1 without a push, 2 not

ALTER TABLE applications ADD COLUMN handled_ms BIGINT NOT NULL DEFAULT 0;  -- 0: open
ALTER TABLE applications ADD COLUMN handler    TEXT   NOT NULL DEFAULT '';
ALTER TABLE applications ADD COLUMN agreed     BIGINT NOT NULL DEFAULT 0;
ALTER TABLE applications ADD COLUMN reply      TEXT   NOT NULL DEFAULT '';
CREATE INDEX applications_handled ON applications (handled_ms) WHERE handled_ms > 0;

-- One row for each side: owner has user_id in his list.
CREATE TABLE friends (
    app      BIGINT NOT NULL,
    owner    TEXT   NOT NULL,
    user_id  TEXT   NOT NULL,
    remark   TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (app, owner, user_id)
) /* sqlite: WITHOUT ROWID */;
CREATE INDEX friends_of ON friends (app, user_id, owner);

-- One row for each side, which may delete its own.
CREATE TABLE friend_applications (
    app      BIGINT NOT NULL,
    owner    TEXT   NOT NULL,
    user_id  TEXT   NOT NULL,
    received BIGINT NOT NULL, -- 0: owner has applied; 1: user_id has
    remark   TEXT   NOT NULL, -- what the applicant will call the other
    wording  TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    single   BIGINT NOT NULL, -- 1: the applicant wants the other in his list alone
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (app, owner, user_id, received)
) /* sqlite: WITHOUT ROWID */;

CREATE TABLE friend_groups (
    app     BIGINT NOT NULL,
    owner   TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    made_ms BIGINT NOT NULL,
    PRIMARY KEY (app, owner, name)
) /* sqlite: WITHOUT ROWID */;

CREATE TABLE friend_group_members (
    app     BIGINT NOT NULL,
    owner   TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    user_id TEXT   NOT NULL,
    PRIMARY KEY (app, owner, name, user_id)
) /* sqlite: WITHOUT ROWID */;
CREATE INDEX friend_group_members_user ON friend_group_members (app, owner, user_id);

-- What became of an order that asks for an answer.
CREATE TABLE order_answers (
    id          BIGINT NOT NULL PRIMARY KEY,
    body        TEXT   NOT NULL, -- JSON
    answered_ms BIGINT NOT NULL
);
