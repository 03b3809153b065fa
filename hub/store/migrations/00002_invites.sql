-- +goose Up
CREATE TABLE invites (
    app       BIGINT NOT NULL,
    id        TEXT   NOT NULL,
    inviter   TEXT   NOT NULL,
    group_id  TEXT   NOT NULL, -- empty: between two accounts
    log_id    BIGINT NOT NULL REFERENCES logs (id),
    seq       BIGINT NOT NULL, -- of its first step
    timeout_s BIGINT NOT NULL, -- 0: none
    until_ms  BIGINT NOT NULL, -- 0: no timeout
    open      BIGINT NOT NULL, -- invitees who have not answered; 0: it is over
    ended_ms  BIGINT NOT NULL, -- 0: it is not over
    PRIMARY KEY (app, id)
);
CREATE INDEX invites_due ON invites (app, until_ms) WHERE open > 0 AND until_ms > 0;
CREATE INDEX invites_inviter ON invites (app, inviter) WHERE open > 0;
CREATE INDEX invites_ended ON invites (app, ended_ms) WHERE ended_ms > 0;

CREATE TABLE invitees (
    app       BIGINT NOT NULL,
    invite_id TEXT   NOT NULL,
    user_id   TEXT   NOT NULL,
    place     BIGINT NOT NULL, -- in the list as it was given
    answer    BIGINT NOT NULL, -- the action that ended it for the invitee, 0: open
    PRIMARY KEY (app, invite_id, user_id)
);
