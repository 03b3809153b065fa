// The document's own samples, as they stand. They are taken from its text when the
// cases run; only what they leave open is filled in: ids, keys, paths, the account's
// ticket, and the variables that they do not declare.
import { listen, online } from './sdk.mjs';
import { check, filled, int, within } from './world.mjs';

// find takes the samples out of the document: [{module, heading, code}]. A heading is
// a line that is a method's name alone; its sample ends where the next title begins.
export function find(text, methods) {
  const names = new Set([...methods.im, ...methods.calling]);
  const lines = text.split('\n').map(l => l.trimEnd());
  const calling = lines.lastIndexOf('模块接口'); // the second module's part begins there
  const found = [];
  let heading = '';
  for (let i = 0; i < lines.length; i++) {
    if (names.has(lines[i]) && lines[i - 1] === '' && lines[i + 1] === '') heading = lines[i];
    const titled = lines[i] === 'callback' && lines[i + 2]?.startsWith(`Im.${heading}({`); // one sample has another's title
    if (lines[i] !== '示例代码' && lines[i] !== '代码示例' && !titled) continue;
    const module = i > calling ? 'calling' : 'im';
    const code = [];
    while (++i < lines.length && !/^可用性/.test(lines[i])) code.push(lines[i]);
    if (heading && methods[module].includes(heading)) found.push({ module, heading, code: code.join('\n') });
    heading = '';
  }
  return found;
}

// fill puts values into a sample: of its fields, and of the variables it declares.
function fill(code, values) {
  for (const [name, value] of Object.entries(values)) {
    const text = JSON.stringify(value);
    code = code.replace(new RegExp(`(\\b${name}:\\s*)('[^']*'|"[^"]*"|[\\w]*x[\\w]*\\d*|\\[\\s*'x+'\\s*\\])(?=\\s*[,}\\n])`), `$1${text}`);
    code = code.replace(new RegExp(`(\\bvar ${name}\\s*=\\s*)[^;]+;`), `$1${text};`);
  }
  return code;
}

const key = async (w, method, params) => (await w.me.call(method, params)).messageKey;
const text = w => key(w, 'im.createTextMessage', { text: 'a message of a sample' });
const sentText = async (w, params) => (await w.me.call('im.sendC2CTextMessage', { text: 'a message of a sample', userId: w.peer.user, ...params })).msgId;
const invited = async w => (await w.me.call('im.invite', { invitee: w.peer.user, data: 'a sample' })).inviteId;
const invitedMe = async w => {
  const { inviteId } = await w.peer.call('im.invite', { invitee: w.me.user, data: 'a sample' });
  await w.me.event('onReceiveNewInvitation', { inviteId });
  return inviteId;
};
const offline = async w => { await w.me.call('im.logout'); };
const login = async w => {
  await w.me.call('im.login', { userId: w.me.user, userSig: w.me.sig });
  await online(w, w.me);
};
const idle = w => w.until('idle', async () => {
  for (const a of w.accounts) if ((await a.call('device.getCall')).state !== 'idle') return false;
  return true;
});
const hangup = async w => {
  await w.me.call('calling.hangup').catch(() => {}); // it may be over
  await idle(w);
};
const ring = async w => {
  await idle(w);
  for (const a of w.accounts) a.forget();
  await w.peer.call('calling.call', { userId: w.me.user, type: 1 });
  await w.me.event('onInvited');
};
const inCall = async w => {
  await ring(w);
  await w.me.call('calling.accept');
  await w.me.event('onUserVideoAvailable', { isVideoAvailable: true });
};
const group = w => ({ groupId: w.config.group });
const listener = event => ({ event });
const calledAndBack = async (w, told) => {
  await idle(w);
  await w.peer.call('calling.call', { userId: w.me.user, type: 2 });
  await told;
  await w.peer.call('calling.hangup');
  await idle(w);
};
const work = async w => (await w.me.call('im.createGroup', { groupType: 'Work', groupName: 'Work' })).groupId;

const publicGroup = async w => {
  const groupId = `public${Date.now()}`;
  await w.me.call('im.createGroupWithMemberList', { groupInfo: { groupType: 'Public', groupId, groupName: 'Public' }, memberList: [{ userId: w.peer.user }] });
  return { groupId };
};
const applied = async w => {
  const groupId = `applied${Date.now()}`;
  await w.me.call('im.createGroup', { groupType: 'Public', groupId, groupName: 'x' });
  await w.peer.call('im.joinGroup', { groupId, msg: 'for a sample' });
  await w.me.call('im.getGroupApplicationList');
};
const friends = w => w.me.call('im.addFriend', { userId: w.peer.user });
const noFriends = async w => {
  await w.me.call('im.deleteFromFriendList', { userIdList: [w.peer.user], deleteType: 0 });
  await w.peer.call('im.deleteFromFriendList', { userIdList: [w.me.user], deleteType: 1 });
};
const wooed = async w => {
  await noFriends(w);
  await w.me.call('im.setSelfInfo', { allowType: 2 });
  await w.peer.call('im.addFriend', { userId: w.me.user });
  await w.me.call('im.getFriendApplicationList');
};
const allowAll = w => w.me.call('im.setSelfInfo', { allowType: 0 });
const noFriendGroup = name => w => w.me.call('im.deleteFriendGroup', { groupNameList: [name] }).catch(() => {});
const friendGroup = async w => {
  await friends(w);
  await w.me.call('im.createFriendGroup', { groupName: 'friendGroupName001', userIdList: [w.peer.user] }).catch(() => {}); // it may be there
};
const results = { resultList: v => Array.isArray(v) };

// needs says for a sample what has to be there first (before), what it is filled in
// with (values), the variables that it takes from around it (scope), what it gives
// (gives; {status: true} besides), and what has to be put back (after).
const needs = {
  'im.init': { values: w => ({ sdkAppId: w.config.sdkAppId }) },
  'im.setSDKListener': listener(),
  'im.setSimpleMsgListener': listener(async w => { await w.peer.call('im.sendC2CTextMessage', { text: 'for a sample', userId: w.me.user }); }),
  'im.setSignalingListener': listener(),
  'im.setAdvancedMsgListener': listener(),
  'im.setConversationListener': listener(),
  'calling.setCallingListener': listener(calledAndBack),
  'calling.removeCallingListener': listener(calledAndBack), // its sample sets one
  'im.destroy': { after: async w => { await w.me.call('im.init', { sdkAppId: w.config.sdkAppId }); await login(w); } },
  'im.getVersion': { gives: { version: filled } },
  'im.getServerTime': { gives: { serverTime: int } },
  'im.login': { before: offline, values: w => ({ userId: w.me.user, userSig: w.me.sig }), after: login },
  'im.logout': { after: login },
  'im.getLoginUser': { gives: { userId: filled } },
  'im.getLoginStatus': { gives: { loginStatus: 0 } },
  'im.sendGroupTextMessage': { values: group },
  'im.sendGroupCustomMessage': { values: group },
  'im.invite': { gives: { inviteId: filled } },
  'im.inviteInGroup': { values: group },
  'im.cancel': { values: async w => ({ inviteId: await invited(w) }) },
  'im.accept': { values: async w => ({ inviteId: await invitedMe(w) }) },
  'im.reject': { values: async w => ({ inviteId: await invitedMe(w) }) },
  'im.getSignalingInfo': {
    values: async w => {
      const inviteId = await invitedMe(w);
      return { msgId: (await w.me.event('onRecvC2CCustomMessage', { customData: v => v.includes(inviteId) })).msgId };
    },
    gives: { signalingInfo: { inviteId: filled } },
  },
  'im.addInvitedSignaling': { refused: { code: 6017, msg: filled } }, // its sample names no invitation
  'im.createImageMessage': { values: w => ({ img: w.config.files.image }), gives: { messageKey: filled } },
  'im.createSoundMessage': { values: w => ({ path: w.config.files.sound }), gives: { messageKey: filled } },
  'im.createVideoMessage': { values: w => ({ videoFilePath: w.config.files.video, snapshotPath: w.config.files.snapshot }), gives: { messageKey: filled } },
  'im.createFileMessage': { values: w => ({ filePath: w.config.files.plain }), gives: { messageKey: filled } },
  ...Object.fromEntries(['Text', 'TextAt', 'Custom', 'Location', 'Face'].map(k => [`im.create${k}Message`, { gives: { messageKey: filled } }])),
  'im.sendMessage': { values: async w => ({ messageKey: await text(w) }) },
  'im.revokeMessage': { values: async w => ({ msgId: await sentText(w) }) },
  'im.getC2CHistoryMessageList': { values: async w => ({ msgId: await sentText(w) }), gives: { messageList: v => Array.isArray(v) } },
  'im.getGroupHistoryMessageList': {
    values: async w => ({ ...group(w), msgId: (await w.me.call('im.sendGroupTextMessage', { text: 'x', ...group(w) })).msgId }), gives: { messageList: v => Array.isArray(v) },
  },
  'im.markC2CMessageAsRead': {},
  'im.markGroupMessageAsRead': { values: group },
  'im.deleteMessageFromLocalStorage': { values: async w => ({ msgIdList: [await sentText(w)] }) },
  'im.insertGroupMessageToLocalStorage': { values: async w => ({ ...group(w), messageKey: await text(w) }) },
  'im.createGroup': { values: () => ({ groupId: `new${Date.now()}` }) },
  'im.joinGroup': { before: w => w.me.call('im.quitGroup', { groupId: w.config.others }).catch(() => {}), values: w => ({ groupId: w.config.others }) },
  'im.quitGroup': { before: w => w.me.call('im.joinGroup', { groupId: w.config.others }).catch(() => {}), values: w => ({ groupId: w.config.others }) },
  'im.dismissGroup': { before: w => w.me.call('im.createGroup', { groupType: 'Meeting', groupId: 'dismissed', groupName: 'x' }), values: () => ({ groupId: 'dismissed' }) },
  'im.inviteUserToGroup': { values: async w => ({ groupId: await work(w) }) },
  'im.kickGroupMember': {
    values: async w => {
      const groupId = await work(w);
      await w.me.call('im.inviteUserToGroup', { groupId, userIdList: [w.peer.user] });
      return { groupId };
    },
    gives: { resultList: [{ result: 1 }] },
  },
  'im.setGroupListener': listener(),
  'im.setFriendListener': listener(),
  'im.createGroupWithMemberList': { values: () => ({ groupId: `list${Date.now()}` }) },
  'im.getJoinedGroupList': { gives: { groupList: v => Array.isArray(v) } },
  'im.getGroupsInfo': { gives: { groupResultList: [{ resultCode: 0, groupInfo: { groupId: 'group001' } }] } },
  ...Object.fromEntries(['setGroupInfo', 'setReceiveMessageOpt', 'setGroupMemberInfo', 'muteGroupMember', 'setGroupMemberRole', 'transferGroupOwner'].map(m => [`im.${m}`, { values: publicGroup }])),
  'im.getGroupMemberList': { gives: { memberList: v => v.length > 0 } },
  'im.getGroupApplicationList': { gives: { unreadCount: int, groupApplicationList: v => Array.isArray(v) } },
  'im.acceptGroupApplication': { before: applied },
  'im.refuseGroupApplication': { before: applied },
  'im.getUsersInfo': { gives: { infoList: [{ userId: 'test001' }] } },
  'im.getFriendList': { gives: { infoList: v => Array.isArray(v) } },
  'im.getFriendsInfo': { gives: { resultList: [{ resultCode: 0 }] } },
  'im.setFriendInfo': { before: friends },
  'im.addFriend': { before: noFriends, gives: { result: { resultCode: '0' } } },
  'im.deleteFromFriendList': { before: friends, gives: { resultList: [{ resultCode: '0' }] } },
  'im.checkFriend': { gives: { result: { relationType: int } } },
  'im.getFriendApplicationList': { gives: { unreadCount: int, applicationList: v => Array.isArray(v) } },
  'im.acceptFriendApplication': { before: wooed, gives: { result: { resultCode: '0' } }, after: allowAll },
  'im.refuseFriendApplication': { before: wooed, gives: { result: { resultCode: '0' } }, after: allowAll },
  'im.deleteFriendApplication': { before: wooed, after: allowAll },
  'im.createFriendGroup': { before: noFriendGroup('friendGroupName001'), gives: results },
  'im.getFriendGroupList': { before: friendGroup, gives: { groupList: [{ groupName: 'friendGroupName001' }] } },
  'im.deleteFriendGroup': { before: friendGroup },
  'im.renameFriendGroup': { before: async w => { await friendGroup(w); await noFriendGroup('renamed')(w); }, values: () => ({ oldName: 'friendGroupName001', newName: 'renamed' }) },
  'im.addFriendsToFriendGroup': { before: friendGroup, gives: results },
  'im.deleteFriendsFromFriendGroup': { before: friendGroup, gives: results },
  'im.getConversationList': { gives: { conversationList: v => Array.isArray(v) } },
  'im.deleteConversation': { before: w => sentText(w, { userId: w.third.user }), values: w => ({ conversationId: `c2c_${w.third.user}` }) },
  'im.setConversationDraft': { values: w => ({ conversationId: `c2c_${w.peer.user}` }) },
  'im.deleteFromBlackList': {},
  'im.getBlackList': { gives: { infoList: v => Array.isArray(v) } },
  'im.addToBlackList': { after: w => w.me.call('im.deleteFromBlackList', { userIdList: [w.peer.user] }) },
  'calling.destroy': { after: w => w.me.call('calling.init') },
  'calling.login': { values: w => ({ sdkAppId: w.config.sdkAppId, userId: w.me.user, userSig: w.me.sig }), before: offline, after: login },
  'calling.logout': { after: login },
  'calling.call': { before: idle, scope: w => ({ remoteUserId: w.peer.user, type: 1 }), after: hangup },
  'calling.groupCall': { before: idle, scope: w => ({ userIdList: [w.peer.user], type: 2, groupId: w.config.group }), after: hangup },
  'calling.accept': { before: ring, after: hangup },
  'calling.reject': { before: ring, after: hangup },
  'calling.hangup': { before: inCall, after: hangup },
  'calling.startRemoteView': { before: inCall, after: hangup },
  'calling.stopRemoteView': { before: inCall, after: hangup },
  'calling.openCamera': { before: inCall, scope: () => ({ isFront: true }), after: hangup },
  'calling.switchCamera': { before: inCall, after: hangup },
  'calling.closeCamera': { before: inCall, after: hangup },
  'calling.setMicMute': { before: inCall, after: hangup },
  'calling.setHandsFree': { before: inCall, after: hangup },
};

// samples are the cases of the document's samples.
export function samples(world) {
  const { spec, methods } = world.config;
  const found = find(spec, methods);
  const cases = found.map(sample => [`${sample.module}.${sample.heading}`, w => play(w, sample)]);
  const missing = Object.entries(methods).flatMap(([module, names]) => (module === 'device' ? [] : names.map(n => `${module}.${n}`)))
    .filter(m => new RegExp(`^${m.split('.')[1]}$`, 'm').test(spec) && !found.some(s => `${s.module}.${s.heading}` === m));
  // described with the sample of another heading
  const none = missing.filter(m => m !== 'im.deleteMessages');
  cases.push(['every declared method has its sample', () => { if (none.length > 0) throw new Error(none.join(', ')); }]);
  return cases;
}

// play runs one sample. alert, which it shows its result with, tells what came.
async function play(w, { module, heading, code }) {
  const need = needs[`${module}.${heading}`] ?? {};
  await need.before?.(w);
  for (const a of w.accounts) a.forget();
  const values = await need.values?.(w) ?? {};
  const scope = {
    Im: w.client.Im, calling: w.client.calling, api: { winWidth: 800, winHeight: 600 }, ...need.scope?.(w),
  };
  const shown = [];
  let came;
  const first = new Promise(resolve => { came = resolve; });
  const show = what => { shown.push(what); came(); };
  scope.alert = what => show(JSON.parse(what));
  scope.console = { log: show };
  try {
    new Function(...Object.keys(scope), fill(code, values))(...Object.values(scope));
    const told = within(first, `the sample shows nothing:\n${fill(code, values)}`);
    if (need.event) await need.event(w, told);
    await told;
    if (need.refused) check(shown[0], need.refused);
    else if (need.event) check(shown[0], { eventType: filled });
    else check(shown[0], { status: true, ...need.gives }, fill(code, values));
  } finally {
    await need.after?.(w);
    if (/Listener$/.test(heading)) await listen(w.me); // the sample has put its own in place
  }
}
