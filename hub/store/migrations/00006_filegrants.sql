-- See 00001_start.sql on the dialects.

-- +goose Up
-- Only groups are granted files: an account is not, for a message to one account that
-- is kept nowhere has none.
DROP INDEX file_grants_until;
ALTER TABLE file_grants RENAME TO file_grants_before;
CREATE TABLE file_grants (
    app      BIGINT NOT NULL,
    hash     TEXT   NOT NULL,
    group_id TEXT   NOT NULL, -- members of it may fetch the file, as a message that is kept nowhere named it
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (app, hash, group_id)
) /* sqlite: WITHOUT ROWID */;
INSERT INTO file_grants (app, hash, group_id, until_ms)
SELECT app, hash, group_id, MAX(until_ms) FROM file_grants_before WHERE group_id <> '' GROUP BY app, hash, group_id;
DROP TABLE file_grants_before;
CREATE INDEX file_grants_until ON file_grants (app, until_ms);
