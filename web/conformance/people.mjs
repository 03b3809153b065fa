// The families of profiles, of friends and of the blacklist.
import { check, filled, int, list, str } from './world.mjs';

const user = { userId: filled, nickName: str, faceUrl: str };
const friend = { userId: filled, friendRemark: str, friendCustomInfo: v => v && typeof v === 'object', friendGroups: list(str), userInfo: user };
const done = who => ({ userId: who.user, resultCode: '0', resultInfo: '' });
const application = { userId: filled, nickName: str, faceUrl: str, addTime: int, addSource: str, addWording: str, type: int };
const fromFriend = 'setFriendListener';

// strangers ends what was between two.
async function strangers(a, b) {
  await a.call('im.deleteFromFriendList', { userIdList: [b.user], deleteType: 0 });
  await b.call('im.deleteFromFriendList', { userIdList: [a.user], deleteType: 1 });
  a.forget();
  b.forget();
}

const relation = async (a, b, type = 0) => (await a.call('im.checkFriend', { userId: b.user, type })).result.relationType;

export const people = [
  ['a profile, which friends are told of', async w => {
    await w.peer.call('im.addFriend', { userId: w.me.user, addType: 1 });
    const all = { selfSignature: 'ring twice', gender: 1, allowType: 0, nickName: `Me ${Date.now()}`, faceUrl: 'https://pictures.example/me.png' };
    await w.me.call('im.setSelfInfo', all);
    check(await w.me.event('onSelfInfoUpdated', { info: { nickName: all.nickName } }, 'setSDKListener'), { info: { userId: w.me.user, ...all } });
    check(await w.peer.event('onFriendProfileChanged', {}, fromFriend), { infoList: [{ ...friend, userId: w.me.user, userInfo: { userId: w.me.user, nickName: all.nickName, faceUrl: all.faceUrl } }] });
    if (w.third.has('onFriendProfileChanged', {})) throw new Error('a stranger is told');
    check(await w.third.call('im.getUsersInfo', { userIdList: [w.me.user, 'nobody-there', w.third.user] }), { infoList: [{ userId: w.me.user, ...all }, { ...user, userId: w.third.user, selfSignature: str, gender: int, allowType: int }] });
    await w.peer.event('onConversationChanged', { conversationList: v => v.some(c => c.userId === w.me.user && c.showName === all.nickName && c.faceUrl === all.faceUrl) });
    await w.me.call('im.sendC2CTextMessage', { userId: w.third.user, text: 'by name' });
    check(await w.third.event('onRecvC2CTextMessage', { text: 'by name' }), { sender: { userId: w.me.user, nickName: all.nickName, faceUrl: all.faceUrl } });
    check(await w.third.event('onRecvNewMessage', { message: { msg: { text: 'by name' } } }), { message: { nickName: all.nickName, faceUrl: all.faceUrl } });
    await w.peer.call('im.deleteFromFriendList', { userIdList: [w.me.user], deleteType: 1 });
  }],
  ['friends at once, and what one calls the other', async w => {
    await strangers(w.me, w.peer);
    check(await w.me.call('im.addFriend', { userId: w.peer.user, friendRemark: 'the peer', addWording: 'it is me', addSource: 'here', addType: 0 }), { result: done(w.peer) });
    check(await w.me.event('onFriendListAdded', {}, fromFriend), { infoList: [{ ...friend, userId: w.peer.user, friendRemark: 'the peer' }] });
    check(await w.peer.event('onFriendListAdded', {}, fromFriend), { infoList: [{ ...friend, userId: w.me.user, friendRemark: '' }] });
    check(await w.me.call('im.getFriendList'), { infoList: list(friend) });
    await w.me.call('im.setFriendInfo', { userId: w.peer.user, friendRemark: 'my peer' });
    check(await w.me.event('onFriendProfileChanged', {}, fromFriend), { infoList: [{ userId: w.peer.user, friendRemark: 'my peer' }] });
    await w.peer.call('im.sendC2CTextMessage', { userId: w.me.user, text: 'remarked' });
    check(await w.me.event('onRecvNewMessage', { message: { msg: { text: 'remarked' } } }), { message: { friendRemark: 'my peer' } });
    const { conversationList } = await w.me.call('im.getConversationList', { nextSeq: 0, count: 100 });
    check(conversationList.find(c => c.userId === w.peer.user), { showName: 'my peer' });
    check(await w.me.call('im.getFriendsInfo', { userIdList: [w.peer.user, w.third.user, 'nobody-there'] }), {
      resultList: [{ resultCode: 0, resultInfo: '', relation: 0, friendInfo: { ...friend, userId: w.peer.user, friendRemark: 'my peer' } }, { resultCode: 0, relation: 3 }, { resultCode: 30003, resultInfo: filled }],
    });
  }],
  ['how two stand, in both spellings', async w => {
    await strangers(w.me, w.peer);
    check(await relation(w.me, w.peer), 3);
    await w.me.call('im.addFriend', { userId: w.peer.user, addType: 1 });
    check(await relation(w.me, w.peer), 1);
    check(await relation(w.peer, w.me), 2);
    check(await relation(w.peer, w.me, 1), 3);
    await w.peer.call('im.addFriend', { userId: w.me.user, addType: 1 });
    check(await w.me.call('im.checkFriend', { userId: w.peer.user, checkType: 0 }), { result: { userId: w.peer.user, resultCode: 0, resultInfo: '', relationType: 0 } });
  }],
  ['friends no more, on one side and on both', async w => {
    await w.me.call('im.addFriend', { userId: w.peer.user });
    w.me.forget();
    w.peer.forget();
    check(await w.me.call('im.deleteFromFriendList', { userIdList: [w.peer.user, 'nobody-there'], deleteType: 1 }), { resultList: [done(w.peer), { userId: 'nobody-there', resultCode: '31704', resultInfo: filled }] });
    check(await w.me.event('onFriendListDeleted', {}, fromFriend), { userIdList: [w.peer.user], userIDList: [w.peer.user] });
    check(await relation(w.me, w.peer), 2);
    await w.me.call('im.addFriend', { userId: w.peer.user });
    if (w.peer.has('onFriendListDeleted', {})) throw new Error('the other side is told');
    await w.me.call('im.deleteFromFriendList', { userIdList: [w.peer.user], deleteType: 0 });
    check(await w.peer.event('onFriendListDeleted', {}, fromFriend), { userIdList: [w.me.user] });
    check(await relation(w.me, w.peer), 3);
  }],
  ['an application that is accepted', async w => {
    await strangers(w.me, w.peer);
    await w.me.call('im.setSelfInfo', { allowType: 2 });
    check(await w.peer.call('im.addFriend', { userId: w.me.user, friendRemark: 'me', addWording: 'hello', addSource: 'here' }), { result: { userId: w.me.user, resultCode: '30539', resultInfo: filled } });
    check(await w.me.event('onFriendApplicationListAdded', {}, fromFriend), { applicationList: [{ ...application, userId: w.peer.user, addWording: 'hello', addSource: 'here', type: 1 }] });
    check(await w.peer.event('onFriendApplicationListAdded', {}, fromFriend), { applicationList: [{ ...application, userId: w.me.user, type: 0 }] });
    const { applicationList } = check(await w.me.call('im.getFriendApplicationList'), { unreadCount: 1, applicationList: list(application) });
    await w.me.call('im.setFriendApplicationRead');
    await w.me.event('onFriendApplicationListRead', {}, fromFriend);
    check(await w.me.call('im.getFriendApplicationList'), { unreadCount: 0 });
    const index = applicationList.findIndex(a => a.userId === w.peer.user && a.type === 1);
    check(await w.me.call('im.acceptFriendApplication', { index, type: 0 }), { result: done(w.peer) });
    for (const [a, b] of [[w.me, w.peer], [w.peer, w.me]]) {
      check(await a.event('onFriendApplicationListDeleted', {}, fromFriend), { userIdList: [b.user] });
      await a.event('onFriendListAdded', { infoList: [{ userId: b.user }] }, fromFriend);
    }
    check(await relation(w.me, w.peer), 0);
    await w.me.refused(30614, 'im.acceptFriendApplication', { index, type: 0 });
  }],
  ['applications that are refused, deleted, or accepted on one side', async w => {
    const apply = async () => {
      await w.peer.call('im.addFriend', { userId: w.me.user });
      const { applicationList } = await w.me.call('im.getFriendApplicationList');
      return applicationList.findIndex(a => a.userId === w.peer.user && a.type === 1);
    };
    await strangers(w.me, w.peer);
    check(await w.me.call('im.refuseFriendApplication', { index: await apply() }), { result: done(w.peer) });
    for (const a of [w.me, w.peer]) await a.event('onFriendApplicationListDeleted', {}, fromFriend);
    await w.me.call('im.deleteFriendApplication', { index: await apply() });
    await w.me.event('onFriendApplicationListDeleted', {}, fromFriend);
    const left = await w.peer.call('im.getFriendApplicationList'); // it has its own still
    await w.peer.call('im.deleteFriendApplication', { index: left.applicationList.findIndex(a => a.userId === w.me.user) });
    await w.me.call('im.acceptFriendApplication', { index: await apply(), type: 1 });
    check(await relation(w.peer, w.me), 1);
    await w.me.call('im.setSelfInfo', { allowType: 1 });
    await strangers(w.me, w.peer);
    await w.peer.refused(30516, 'im.addFriend', { userId: w.me.user });
    await w.me.call('im.setSelfInfo', { allowType: 0 });
  }],
  ['friend groups', async w => {
    await w.me.call('im.addFriend', { userId: w.peer.user });
    const name = `flat ${Date.now()}`;
    check(await w.me.call('im.createFriendGroup', { groupName: name, userIdList: [w.peer.user, w.third.user] }), { resultList: [done(w.peer), { userId: w.third.user, resultCode: '31704', resultInfo: filled }] });
    check(await w.me.call('im.getFriendGroupList', { groupNameList: [name] }), { groupList: [{ groupName: name, userCount: 1, friendList: [w.peer.user] }] });
    check(await w.me.call('im.deleteFriendsFromFriendGroup', { groupName: name, userIdList: [w.peer.user] }), { resultList: [done(w.peer)] });
    check(await w.me.call('im.addFriendsToFriendGroup', { groupName: name, userIdList: [w.peer.user] }), { resultList: [done(w.peer)] });
    await w.me.call('im.renameFriendGroup', { oldName: name, newName: `${name} 2` });
    const { infoList } = await w.me.call('im.getFriendList');
    check(infoList.find(f => f.userId === w.peer.user).friendGroups, v => v.includes(`${name} 2`));
    await w.me.call('im.deleteFriendGroup', { groupNameList: [`${name} 2`] });
    check(await w.me.call('im.getFriendGroupList', { groupNameList: [`${name} 2`] }), { groupList: [] });
    await w.me.refused(30001, 'im.deleteFriendGroup', { groupNameList: [name] });
  }],
  ['the blacklist: messages, invitations, applications and friendship', async w => {
    await w.me.call('im.addFriend', { userId: w.peer.user });
    for (const a of w.accounts) a.forget();
    check(await w.me.call('im.addToBlackList', { userIdList: [w.peer.user] }), { resultList: [done(w.peer)] });
    check(await w.me.event('onBlackListAdded', {}, fromFriend), { infoList: [{ ...friend, userId: w.peer.user }] });
    await w.me.event('onFriendListDeleted', { userIdList: [w.peer.user] }, fromFriend);
    check(await w.me.call('im.getBlackList'), { infoList: [{ ...friend, userId: w.peer.user }] });
    await w.peer.refused(20007, 'im.sendC2CTextMessage', { text: 'no', userId: w.me.user });
    await w.peer.refused(20007, 'im.invite', { invitee: w.me.user, data: 'no' });
    await w.peer.refused(30525, 'im.addFriend', { userId: w.me.user });
    await w.me.refused(30515, 'im.addFriend', { userId: w.peer.user });
    await w.me.call('im.deleteFromBlackList', { userIdList: [w.peer.user] });
    check(await w.me.event('onBlackListDeleted', {}, fromFriend), { userIdList: [w.peer.user] });
    check(await w.me.call('im.getBlackList'), { infoList: [] });
    await w.peer.call('im.sendC2CTextMessage', { text: 'yes', userId: w.me.user });
  }],
];
