// The family of groups: each method, and each event at all who are to be told of it.
import { message } from './advanced.mjs';
import { bool, check, filled, int, list, maybe, str } from './world.mjs';

const member = { userId: filled, nickName: str, friendRemark: str, nameCard: str, faceUrl: str };
const groupInfo = {
  groupId: filled, groupType: filled, groupName: filled, notification: str, introduction: str, faceUrl: str, allMuted: bool, owner: filled, createTime: int,
  groupAddOpt: int, lastInfoTime: int, lastMessageTime: int, memberCount: int, onlineCount: int, role: int, recvOpt: int, joinTime: int,
};
const application = {
  groupId: filled, fromUser: filled, fromUserNickName: str, fromUserFaceUrl: str, toUser: str, addTime: filled, requestMsg: str, handleMsg: str, getType: int, handleStatus: int, handleResult: int,
};

let last = 0;
const fresh = kind => `${kind}-${Date.now()}-${++last}`;

// make makes a group of one's own and returns its id.
async function make(w, groupType, members = []) {
  const groupId = fresh(groupType);
  if (members.length === 0) {
    await w.me.call('im.createGroup', { groupType, groupId, groupName: `a ${groupType}` });
  } else {
    await w.me.call('im.createGroupWithMemberList', { groupInfo: { groupType, groupId, groupName: `a ${groupType}` }, memberList: members.map(userId => ({ userId })) });
    for (const a of w.accounts) if (members.includes(a.user)) await a.event('onMemberInvited', { groupId }, 'setGroupListener');
  }
  return groupId;
}

// all waits until each of the accounts was told of an event.
async function all(accounts, eventType, pattern, fields = {}) {
  for (const a of accounts) check(await a.event(eventType, pattern, 'setGroupListener'), fields, `${a.user}: ${eventType}`);
}

function none(accounts, eventType, pattern) {
  for (const a of accounts) if (a.has(eventType, pattern)) throw new Error(`${a.user} is told of ${eventType}`);
}

const users = (...accounts) => v => Array.isArray(v) && v.length === accounts.length && accounts.every(a => v.some(m => m.userId === a.user));
const info = async (a, groupId) => (await a.call('im.getGroupsInfo', { groupIdList: [groupId] })).groupResultList[0];

export const group = [
  ['a group is made, shown to its maker, and dismissed for all', async w => {
    const groupId = fresh('made');
    check(await w.me.call('im.createGroup', { groupType: 'Meeting', groupId, groupName: 'made' }), { groupId });
    check(await w.me.event('onGroupCreated', { groupId }, 'setGroupListener'), { groupId });
    await w.me.refused(10025, 'im.createGroup', { groupType: 'Meeting', groupId, groupName: 'made' });
    await w.peer.refused(10021, 'im.createGroup', { groupType: 'Meeting', groupId, groupName: 'made' });
    await w.peer.call('im.joinGroup', { groupId, msg: 'let me in' });
    await all([w.me, w.peer], 'onMemberEnter', { groupId, memberList: users(w.peer) }, { memberList: list(member) });
    await w.peer.refused(10007, 'im.dismissGroup', { groupId });
    await w.me.call('im.dismissGroup', { groupId });
    await all([w.me, w.peer], 'onGroupDismissed', { groupId }, { opUser: { ...member, userId: w.me.user } });
    none([w.peer, w.third], 'onGroupCreated', { groupId });
    none([w.third], 'onGroupDismissed', { groupId });
    await w.peer.refused(10010, 'im.joinGroup', { groupId });
  }],
  ['a group with all it can be made with, in both spellings', async w => {
    for (const face of ['faceUrl', 'faceURL']) {
      const groupId = fresh('full');
      const groupInfoIn = { groupId, groupType: 'Public', groupName: 'full', notification: 'read this', introduction: 'who we are', [face]: 'https://pictures.example/x.png', allMuted: false, groupAddOpt: 0 };
      await w.me.call('im.createGroupWithMemberList', { groupInfo: groupInfoIn, memberList: [{ userId: w.peer.user, role: 1 }, { userId: w.third.user, role: 3 }] });
      await all([w.me, w.peer, w.third], 'onMemberInvited', { groupId, memberList: users(w.peer, w.third) }, { opUser: { ...member, userId: w.me.user }, memberList: list(member) });
      await all([w.me, w.peer, w.third], 'onGrantAdministrator', { groupId, memberList: users(w.peer) });
      check(await info(w.peer, groupId), {
        resultCode: 0, resultMessage: '', groupInfo: {
          ...groupInfo, groupId, groupType: 'Public', groupName: 'full', notification: 'read this', introduction: 'who we are', faceUrl: 'https://pictures.example/x.png', owner: w.me.user,
          memberCount: 3, onlineCount: 3, role: 1, groupAddOpt: 0,
        },
      });
    }
    await w.me.refused(10019, 'im.createGroupWithMemberList', { groupInfo: { groupType: 'Work', groupId: 'half', groupName: 'x' }, memberList: [{ userId: w.peer.user }, { userId: 'nobody-there' }] });
    check(await info(w.me, 'half'), { resultCode: 10010 }); // not half of it
  }],
  ['which groups one is in, and what of them one is told', async w => {
    const groupId = await make(w, 'Work', [w.peer.user]);
    const { groupList } = check(await w.peer.call('im.getJoinedGroupList'), { groupList: list(groupInfo) });
    check(groupList.find(g => g.groupId === groupId), { memberCount: 2, role: 0, owner: w.me.user, joinTime: t => t > 0 });
    check(await w.third.call('im.getGroupsInfo', { groupIdList: [groupId, 'there-is-none'] }), {
      groupResultList: [{ resultCode: 10007, groupInfo: { groupId } }, { resultCode: 10010, groupInfo: { groupId: 'there-is-none' } }],
    });
    await w.me.call('im.sendGroupTextMessage', { groupId, text: 'said' });
    check(await info(w.me, groupId), { groupInfo: { lastMessageTime: t => Math.abs(t - Date.now() / 1000) < 60 } });
  }],
  ['a group that is changed', async w => {
    const groupId = await make(w, 'Meeting', [w.peer.user]);
    const change = { groupName: 'renamed', faceUrl: 'https://pictures.example/y.png', notification: 'new', introduction: 'other', groupAddOpt: 1, allMuted: true };
    await w.peer.refused(10007, 'im.setGroupInfo', { groupId, ...change });
    await w.me.call('im.setGroupInfo', { groupId, ...change });
    await all([w.me, w.peer], 'onGroupInfoChanged', { groupId }, { opUser: { ...member, userId: w.me.user }, groupInfo: change });
    await w.peer.event('onConversationChanged', { conversationList: v => v.some(c => c.groupId === groupId && c.showName === 'renamed' && c.faceUrl === change.faceUrl) });
    check(await info(w.peer, groupId), { groupInfo: { ...groupInfo, ...change } });
    await w.peer.refused(10017, 'im.sendGroupTextMessage', { groupId, text: 'not now' });
    await w.me.call('im.sendGroupTextMessage', { groupId, text: 'the owner may' });
    await w.me.call('im.setGroupInfo', { groupId, allMuted: false });
    await w.peer.call('im.sendGroupTextMessage', { groupId, text: 'now' });
  }],
  ['who is in a group, by page and by kind', async w => {
    const groupId = await make(w, 'Public', [w.peer.user, w.third.user]);
    await w.me.call('im.setGroupMemberRole', { groupId, userId: w.peer.user, role: 1 });
    const full = { ...member, role: int, joinTime: int };
    for (const [filter, whom] of [[0, w.accounts], [1, [w.me]], [2, [w.peer]], [3, [w.third]]]) {
      check(await w.third.call('im.getGroupMemberList', { groupId, filter, nextSeq: 0 }), { memberList: list(full), nextSeq: 0 });
      const { memberList } = await w.third.call('im.getGroupMemberList', { groupId, filter, nextSeq: 0 });
      check(memberList, users(...whom), `filter ${filter}`);
    }
    check(await w.third.call('im.getGroupMembersInfo', { groupId, userIdList: [w.peer.user, 'nobody-there'] }), { memberList: [{ ...full, userId: w.peer.user, role: 1 }] });
  }],
  ['a name in the group', async w => {
    const groupId = await make(w, 'Public', [w.peer.user]);
    await w.peer.call('im.setGroupMemberInfo', { groupId, info: { userId: w.peer.user, nameCard: 'the peer' } });
    await all([w.me, w.peer], 'onMemberInfoChanged', { groupId, infoList: [{ userId: w.peer.user, nameCard: 'the peer' }] }, { infoList: [{ muteTime: undefined }] });
    await w.peer.refused(10007, 'im.setGroupMemberInfo', { groupId, info: { userId: w.me.user, nameCard: 'no' } });
    await w.peer.call('im.sendGroupTextMessage', { groupId, text: 'by name' });
    check(await w.me.event('onRecvNewMessage', { message: { groupId, msg: { text: 'by name' } } }), { message: { ...message, nameCard: 'the peer' } });
  }],
  ['a member that is muted', async w => {
    const groupId = await make(w, 'Public', [w.peer.user]);
    await w.peer.refused(10007, 'im.muteGroupMember', { groupId, userId: w.me.user, seconds: 5 });
    await w.me.call('im.muteGroupMember', { groupId, userId: w.peer.user, seconds: 600 });
    await all([w.me, w.peer], 'onMemberInfoChanged', { groupId }, { infoList: [{ userId: w.peer.user, muteTime: 600 }] });
    await w.peer.refused(10017, 'im.sendGroupTextMessage', { groupId, text: 'not now' });
    await w.me.call('im.muteGroupMember', { groupId, userId: w.peer.user, seconds: 0 });
    await w.peer.call('im.sendGroupTextMessage', { groupId, text: 'now' });
  }],
  ['admins, and another owner', async w => {
    const groupId = await make(w, 'Public', [w.peer.user, w.third.user]);
    await w.me.call('im.setGroupMemberRole', { groupId, userId: w.peer.user, role: 1 });
    await all(w.accounts, 'onGrantAdministrator', { groupId }, { opUser: { ...member, userId: w.me.user }, memberList: [{ ...member, userId: w.peer.user }] });
    await w.me.call('im.setGroupMemberRole', { groupId, userId: w.peer.user, role: 0 });
    await all(w.accounts, 'onRevokeAdministrator', { groupId }, { memberList: [{ userId: w.peer.user }] });
    await w.me.call('im.transferGroupOwner', { groupId, userId: w.peer.user });
    await all(w.accounts, 'onGroupInfoChanged', { groupId, groupInfo: { owner: w.peer.user } });
    check(await info(w.me, groupId), { groupInfo: { owner: w.peer.user, role: 0 } });
    await w.me.call('im.quitGroup', { groupId });
    check(await w.me.event('onQuitFromGroup', { groupId }, 'setGroupListener'), { groupId });
    await all([w.peer, w.third], 'onMemberLeave', { groupId }, { member: { ...member, userId: w.me.user } });
    none([w.me], 'onMemberLeave', { groupId });
    await w.peer.refused(10009, 'im.quitGroup', { groupId });
  }],
  ['members that are put out, by the list and by the one', async w => {
    const groupId = await make(w, 'Public', [w.peer.user, w.third.user]);
    check(await w.me.call('im.kickGroupMember', { groupId, memberList: [w.third.user, 'nobody-there'], reason: 'a reason' }), { resultList: [{ userId: w.third.user, result: 1 }, { userId: 'nobody-there', result: 2 }] });
    await all(w.accounts, 'onMemberKicked', { groupId }, { opUser: { ...member, userId: w.me.user }, memberList: [{ ...member, userId: w.third.user }], reason: 'a reason' });
    await w.third.refused(10007, 'im.sendGroupTextMessage', { groupId, text: 'no' });
    check(await w.me.call('im.kickGroupMember', { groupId, userId: w.peer.user, reason: 'another' }), { resultList: [{ userId: w.peer.user, result: 1 }] });
    await all([w.me, w.peer], 'onMemberKicked', { groupId, memberList: users(w.peer) });
  }],
  ['members that are invited, by the list and by the one', async w => {
    const groupId = await make(w, 'Work');
    check(await w.me.call('im.inviteUserToGroup', { groupId, userIdList: [w.peer.user, 'nobody-there'] }), { resultList: [{ userId: w.peer.user, result: 1 }, { userId: 'nobody-there', result: 2 }] });
    await all([w.me, w.peer], 'onMemberInvited', { groupId }, { opUser: { ...member, userId: w.me.user }, memberList: [{ ...member, userId: w.peer.user }] });
    check(await w.peer.call('im.inviteUserToGroup', { groupId, userId: w.third.user }), { resultList: [{ userId: w.third.user, result: 1 }] });
    await all(w.accounts, 'onMemberInvited', { groupId, memberList: users(w.third) });
    await w.me.refused(10007, 'im.dismissGroup', { groupId });
    await w.third.refused(8508, 'im.joinGroup', { groupId: await make(w, 'Work') });
  }],
  ['applications: read, accepted, refused', async w => {
    const groupId = await make(w, 'Public');
    check(await w.peer.call('im.joinGroup', { groupId, msg: 'please' }), { applied: true });
    check(await w.me.event('onReceiveJoinApplication', { groupId }, 'setGroupListener'), { member: { ...member, userId: w.peer.user }, opReason: 'please' });
    await w.third.call('im.joinGroup', { groupId, msg: 'me too' });
    await w.me.event('onReceiveJoinApplication', { groupId, opReason: 'me too' });
    const open = check(await w.me.call('im.getGroupApplicationList'), { unreadCount: n => n >= 2, groupApplicationList: list(application) }).groupApplicationList;
    const index = a => open.findIndex(x => x.groupId === groupId && x.fromUser === a.user);
    await w.me.call('im.setGroupApplicationRead');
    check(await w.me.call('im.getGroupApplicationList'), { unreadCount: 0 });
    await w.me.call('im.acceptGroupApplication', { index: index(w.peer), reason: 'welcome' });
    check(await w.peer.event('onApplicationProcessed', { groupId }, 'setGroupListener'), { opUser: { ...member, userId: w.me.user }, isAgreeJoin: true, opReason: 'welcome' });
    await all([w.me, w.peer], 'onMemberEnter', { groupId, memberList: users(w.peer) });
    await w.me.refused(10024, 'im.refuseGroupApplication', { index: index(w.peer), reason: 'too late' });
    await w.me.call('im.refuseGroupApplication', { index: index(w.third), reason: 'sorry' });
    check(await w.third.event('onApplicationProcessed', { groupId }), { isAgreeJoin: false, opReason: 'sorry' });
    none([w.third], 'onReceiveJoinApplication', { groupId });
    none([w.me], 'onApplicationProcessed', { groupId });
    check((await w.me.call('im.getGroupApplicationList')).groupApplicationList.filter(x => x.groupId === groupId), v => v.length === 2 && v.every(x => x.handleStatus === 2));
  }],
  ['what one wants to have of a group', async w => {
    const groupId = await make(w, 'Work', [w.peer.user]);
    for (const opt of [1, 2, 0]) {
      await w.peer.call('im.setReceiveMessageOpt', { groupId, opt });
      await w.peer.event('onConversationChanged', { conversationList: v => v.some(c => c.groupId === groupId && c.recvOpt === opt) });
      check(await info(w.peer, groupId), { groupInfo: { recvOpt: opt } });
      const { msgId } = await w.me.call('im.sendGroupTextMessage', { groupId, text: `with ${opt}` });
      if (opt !== 2) await w.peer.event('onRecvGroupTextMessage', { groupId, text: `with ${opt}` });
      await w.until('in the history', async () => (await w.peer.call('im.getGroupHistoryMessageList', { groupId, count: 5 })).messageList.some(m => m.msgId === msgId));
      if (opt === 2 && w.peer.has('onRecvGroupTextMessage', { groupId })) throw new Error('what is not wanted is told');
    }
  }],
  ['a live room', async w => {
    const groupId = await make(w, 'AVChatRoom');
    check(await w.me.event('onGroupCreated', { groupId }), {});
    await w.peer.call('im.joinGroup', { groupId });
    await w.me.event('onMemberEnter', { groupId, memberList: users(w.peer) });
    await w.until('heard', async () => {
      await w.me.call('im.sendGroupTextMessage', { groupId, text: 'live' });
      await new Promise(done => setTimeout(done, 50));
      return w.peer.has('onRecvGroupTextMessage', { groupId });
    });
    await w.me.call('im.muteGroupMember', { groupId, userId: w.peer.user, seconds: 60 });
    await all([w.me, w.peer], 'onMemberInfoChanged', { groupId });
    await w.peer.refused(10017, 'im.sendGroupTextMessage', { groupId, text: 'no' });
    await w.peer.call('im.quitGroup', { groupId });
    await w.me.event('onMemberLeave', { groupId, member: { userId: w.peer.user } });
    await w.me.call('im.dismissGroup', { groupId });
    await w.me.event('onGroupDismissed', { groupId });
  }],
  ['what the operator does', async w => {
    const groupId = await make(w, 'Work', [w.peer.user]);
    await w.control('notify', { group: groupId, text: 'the alarm is tested' });
    await all([w.me, w.peer], 'onReceiveRESTCustomData', { groupId }, { customData: 'the alarm is tested' });
    await w.control('attribute', { group: groupId, text: 'floor=2' });
    await all([w.me, w.peer], 'onGroupAttributeChanged', { groupId }, { groupAttributeMap: { floor: '2' } });
    none([w.third], 'onReceiveRESTCustomData', { groupId });
    const room = await make(w, 'AVChatRoom');
    for (const id of [groupId, room]) await w.control('recycle', { group: id });
    await all([w.me, w.peer], 'onGroupRecycled', { groupId });
    await w.me.event('onGroupRecycled', { groupId: room });
    none([w.third], 'onGroupRecycled', { groupId });
    await w.me.refused(10010, 'im.quitGroup', { groupId });
  }],
];
