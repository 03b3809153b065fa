// The family of simple messages, and the groups that it needs.
import { check, filled, int } from './world.mjs';

const sender = { userId: filled, nickName: v => typeof v === 'string', faceUrl: v => typeof v === 'string' };

export const simple = [
  ['a text to an account', async w => {
    const { msgId } = check(await w.me.call('im.sendC2CTextMessage', { text: 'this is a text', userId: w.peer.user }), { msgId: filled });
    check(await w.peer.event('onRecvC2CTextMessage', { msgId }), { text: 'this is a text', sender: { ...sender, userId: w.me.user }, userId: w.me.user, timestamp: int });
  }],
  ['custom data to an account, in both spellings', async w => {
    for (const field of ['customData', 'customMsg']) {
      const { msgId } = check(await w.me.call('im.sendC2CCustomMessage', { [field]: `{"as":"${field}"}`, userId: w.peer.user }), { msgId: filled });
      check(await w.peer.event('onRecvC2CCustomMessage', { msgId }), { customData: `{"as":"${field}"}`, sender: { ...sender, userId: w.me.user } });
    }
  }],
  ['what is missing or wrong is said by name', async w => {
    const missing = await w.me.refused(6017, 'im.sendC2CTextMessage', { userId: w.peer.user });
    if (!missing.msg.includes('text')) throw new Error(missing.msg);
    await w.me.refused(90012, 'im.sendC2CTextMessage', { text: 'x', userId: 'nobody' });
    await w.me.refused(8001, 'im.sendC2CTextMessage', { text: 'x'.repeat(8193), userId: w.peer.user });
  }],
  ['groups', async w => {
    check(await w.me.call('im.createGroup', { groupType: 'Meeting', groupId: w.config.group, groupName: 'The group' }), { groupId: w.config.group });
    for (const a of [w.peer, w.third]) await a.call('im.joinGroup', { groupId: w.config.group, msg: 'hello' });
    check(await w.me.call('im.createGroup', { groupType: 'Work', groupName: 'Another' }), { groupId: filled });
    await w.third.call('im.quitGroup', { groupId: w.config.group });
    await w.third.call('im.joinGroup', { groupId: w.config.group });
    await w.third.call('im.createGroup', { groupType: 'Meeting', groupId: w.config.others, groupName: 'Others' });
    await w.me.call('im.createGroup', { groupType: 'Meeting', groupId: 'brief', groupName: 'Brief' });
    await w.me.call('im.dismissGroup', { groupId: 'brief' });
  }],
  ['members of a group come and go, in both spellings', async w => {
    const { groupId } = check(await w.me.call('im.createGroup', { groupType: 'Work', groupName: 'Work' }), { groupId: filled });
    const both = a => [{ userId: a.user }, { list: [a.user] }];
    for (const [i, { userId, list }] of [...both(w.peer)].entries()) {
      const result = { resultList: [{ userId: w.peer.user, result: 1 }] };
      const tip = type => ({ elemType: 9, message: { groupId, msg: { groupTip: { type, opUser: w.me.user, userIdList: [w.peer.user] } } } });
      check(await w.me.call('im.inviteUserToGroup', userId ? { groupId, userId } : { groupId, userIdList: list }), result, `inviteUserToGroup ${i}`);
      await w.peer.event('onRecvNewMessage', tip(7));
      check(await w.me.call('im.kickGroupMember', userId ? { groupId, userId, reason: 'for a test' } : { groupId, memberList: list, reason: 'for a test' }), result, `kickGroupMember ${i}`);
    }
  }],
  ['a text to a group, with and without a priority', async w => {
    for (const more of [{}, { priority: 0 }, { priority: 1 }]) {
      const { msgId } = check(await w.me.call('im.sendGroupTextMessage', { text: 'to all', groupId: w.config.group, ...more }), { msgId: filled });
      for (const a of [w.peer, w.third]) {
        check(await a.event('onRecvGroupTextMessage', { msgId }), { text: 'to all', groupId: w.config.group, sender: { ...sender, userId: w.me.user } });
      }
    }
  }],
  ['custom data to a group, in both spellings', async w => {
    for (const field of ['customData', 'customMsg']) {
      const { msgId } = check(await w.me.call('im.sendGroupCustomMessage', { [field]: field, groupId: w.config.group, priority: 2 }), { msgId: filled });
      check(await w.peer.event('onRecvGroupCustomMessage', { msgId }), { customData: field, groupId: w.config.group, sender: { ...sender, userId: w.me.user } });
    }
  }],
];
