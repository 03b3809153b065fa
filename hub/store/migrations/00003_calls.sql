-- +goose Up
ALTER TABLE invites ADD COLUMN room     BIGINT NOT NULL DEFAULT 0; -- of the call that it is to; 0: to something else
ALTER TABLE invites ADD COLUMN terminal TEXT   NOT NULL DEFAULT ''; -- of the inviter
ALTER TABLE invites ADD COLUMN made_ms  BIGINT NOT NULL DEFAULT 0;
CREATE INDEX invites_room ON invites (app, inviter, room) WHERE room > 0;
CREATE INDEX invitees_open ON invitees (app, user_id) WHERE answer = 0;
