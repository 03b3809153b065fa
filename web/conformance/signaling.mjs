// The family of signaling.
import { check, filled, int, str } from './world.mjs';

async function invite(w, params = {}) {
  const { inviteId } = check(await w.me.call('im.invite', { invitee: w.peer.user, data: 'this is an invite', ...params }), { inviteId: filled });
  check(await w.peer.event('onReceiveNewInvitation', { inviteId }), { inviter: w.me.user, groupId: '', inviteeList: [w.peer.user], data: 'this is an invite' });
  return inviteId;
}

const info = { inviteId: filled, groupId: str, inviter: filled, inviteeList: v => Array.isArray(v), data: str, timeout: int, actionType: int };

export const signaling = [
  ['an invitation that is accepted', async w => {
    const inviteId = await invite(w);
    await w.peer.call('im.accept', { inviteId, data: 'yes' });
    check(await w.me.event('onInviteeAccepted', { inviteId }), { invitee: w.peer.user, data: 'yes' });
  }],
  ['an invitation that is rejected', async w => {
    const inviteId = await invite(w);
    await w.peer.call('im.reject', { inviteId, data: 'no' });
    check(await w.me.event('onInviteeRejected', { inviteId }), { invitee: w.peer.user, data: 'no' });
  }],
  ['an invitation that is cancelled', async w => {
    const inviteId = await invite(w);
    await w.me.call('im.cancel', { inviteId, data: 'never mind' });
    check(await w.peer.event('onInvitationCancelled', { inviteId }), { inviter: w.me.user, data: 'never mind' });
    await w.peer.refused(8010, 'im.accept', { inviteId, data: 'too late' });
  }],
  ['an invitation that nobody answers', async w => {
    const inviteId = await invite(w, { timeout: 1 });
    for (const a of [w.me, w.peer]) check(await a.event('onInvitationTimeout', { inviteId }), { inviteeList: [w.peer.user] });
  }],
  ['an invitation in a group', async w => {
    const { inviteId } = check(await w.me.call('im.inviteInGroup', { groupId: w.config.group, inviteeList: [w.peer.user, w.third.user], data: 'all of you' }), { inviteId: filled });
    for (const a of [w.peer, w.third]) {
      check(await a.event('onReceiveNewInvitation', { inviteId }), { inviter: w.me.user, groupId: w.config.group, inviteeList: v => v.length === 2, data: 'all of you' });
    }
    await w.me.call('im.cancel', { inviteId, data: 'enough' });
    for (const a of [w.peer, w.third]) await a.event('onInvitationCancelled', { inviteId });
  }],
  ['what an invitation is about: by its id, and by message and user', async w => {
    const inviteId = await invite(w);
    const { msgId } = await w.peer.event('onRecvC2CCustomMessage', { customData: v => str(v) && v.includes(inviteId) });
    for (const params of [{ inviteId }, { msgId, userId: w.me.user }]) {
      check(await w.peer.call('im.getSignalingInfo', params), { signalingInfo: { ...info, inviteId, inviter: w.me.user, actionType: 1 } });
    }
    check(await w.peer.call('device.getInvitations'), { time: int, invitations: v => v.some(i => i.inviteId === inviteId && i.inviter === w.me.user) });
    await w.peer.call('im.addInvitedSignaling', { inviteId, data: 'this is an invite' });
    await w.me.call('im.cancel', { inviteId, data: 'over' });
    await w.peer.refused(8010, 'im.addInvitedSignaling', { inviteId, data: 'this is an invite' });
  }],
];
