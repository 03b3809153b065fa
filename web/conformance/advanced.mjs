// The family of advanced messages.
import { bool, check, filled, fits, int, list, str } from './world.mjs';

// message is the document's message, by its fields.
export const message = {
  msgId: filled, timestamp: int, sender: filled, nickName: str, friendRemark: str, nameCard: str, faceUrl: str, status: int,
  isSelf: bool, isRead: bool, isPeerRead: bool, elemType: int, msg: v => typeof v === 'object', localCustomData: str, localCustomInt: int,
};

const file = { uuid: filled, size: int, path: str };

// kinds are the messages that can be made: the method, its parameters in all
// spellings, the elemType and what its element has.
const kinds = w => [
  ['im.createTextMessage', [{ text: 'a text' }], 1, { text: 'a text' }],
  ['im.createTextAtMessage', [{ text: 'a text for somebody', userIdList: [w.peer.user] }], 1, { text: 'a text for somebody' }],
  ['im.createCustomMessage', [{ customMsg: '{"a":1}' }], 2, { customMsg: '{"a":1}' }],
  ['im.createLocationMessage', [{ desc: 'a place', latitude: 33, longitude: 69.5 }], 7, { desc: 'a place', latitude: 33, longitude: 69.5 }],
  ['im.createFaceMessage', [{ index: 0, dataMsg: 'a face' }], 8, { index: 0, data: 'a face' }],
];

// withFiles are those that have files: their paths are in the configuration.
const withFiles = w => [
  ['im.createImageMessage', [{ img: w.config.files.image }], 3, {
    imageList: v => list({ ...file, type: int, width: int, height: int })(v) && fits(v.map(i => i.type).sort(), [0, 1, 2]) === '',
  }],
  ['im.createSoundMessage', [{ soundPath: w.config.files.sound, soundDuration: 50 }, { path: w.config.files.sound, duration: 50 }], 4, { ...file, duration: 50 }],
  ['im.createVideoMessage', [{ videoFilePath: w.config.files.video, type: 'mp4', duration: 10, snapshotPath: w.config.files.snapshot }], 5, {
    ...file, duration: 10, snapshot: { ...file, width: int, height: int },
  }],
  ['im.createFileMessage', [{ filePath: w.config.files.plain, fileName: 'file.mp4' }], 6, { ...file, name: 'file.mp4' }],
];

async function make(w, method, params) {
  return check(await w.me.call(method, params), { messageKey: filled }).messageKey;
}

// sent makes a message and sends it, and gives what the peer got.
async function sent(w, method, params, elemType, elem, to = { receiver: w.peer.user }) {
  const messageKey = await make(w, method, params);
  const { msgId } = check(await w.me.call('im.sendMessage', { ...to, priority: 0, messageKey }), { msgId: filled });
  const event = check(await w.peer.event('onRecvNewMessage', { message: { msgId } }, 'setAdvancedMsgListener'), {
    elemType, message: { ...message, sender: w.me.user, isSelf: false, elemType, msg: elem },
  }, method);
  if (event.message.elem !== event.message.msg) throw new Error('elem is not msg');
  const again = await w.me.call('im.sendMessage', { ...to, messageKey });
  check(again, { msgId }); // the same key sends once
  return event.message;
}

export const advanced = [
  ['messages without files, made and sent', async w => {
    for (const [method, spellings, elemType, elem] of kinds(w)) {
      for (const params of spellings) check(await sent(w, method, params, elemType, elem), { userId: w.me.user });
    }
  }],
  ['messages to a group', async w => {
    const m = await sent(w, 'im.createTextMessage', { text: 'to all' }, 1, { text: 'to all' }, { groupId: w.config.group });
    check(m, { groupId: w.config.group });
  }],
  ['a message for who is online alone', async w => {
    const messageKey = await make(w, 'im.createTextMessage', { text: 'typing' });
    const { msgId } = await w.me.call('im.sendMessage', { receiver: w.peer.user, messageKey, onlineUserOnly: true });
    await w.peer.event('onRecvNewMessage', { message: { msgId } });
    const { messageList } = await w.peer.call('im.getC2CHistoryMessageList', { userId: w.me.user, count: 5 });
    if (messageList.some(m => m.msgId === msgId)) throw new Error('it is in the history');
  }],
  ...['im.createImageMessage', 'im.createSoundMessage', 'im.createVideoMessage', 'im.createFileMessage'].map((name, i) => [
    `a message with files: ${name}, by paths`, async w => {
      const [method, spellings, elemType, elem] = withFiles(w)[i];
      for (const params of spellings) {
        const m = await sent(w, method, params, elemType, elem);
        if (elemType === 6) check(m.msg, { size: w.config.sizes.plain });
      }
    },
  ]),
  ['a message with a file, by its content', async w => {
    const bytes = new TextEncoder().encode('the content of a file');
    const m = await sent(w, 'im.createFileMessage', { filePath: new Blob([bytes]), fileName: 'content.txt' }, 6, { ...file, name: 'content.txt', size: bytes.length });
    const got = await w.peer.herald.downloadFile(m.msg.url); // which has the board fetch it, if it has not
    check(await got.text(), 'the content of a file');
    const up = check(await w.me.herald.uploadFile(new Blob([bytes])), { status: true, upload: v => v.startsWith('upload:') });
    await make(w, 'im.createFileMessage', { filePath: up.upload, fileName: 'content.txt' });
  }],
  ['a small file is fetched by itself, a large one when it is asked for', async w => {
    for (const name of ['small', 'large']) {
      const m = await sent(w, 'im.createFileMessage', { filePath: w.config.files[name], fileName: name }, 6, { ...file, name });
      const asked = name === 'large' && await w.peer.call('device.downloadMessage', { msgId: m.msgId });
      const size = w.config.sizes[name], of = { elemType: 6, message: { msgId: m.msgId } };
      check(await w.peer.event('onRecvNewMessage', { ...of, download: { eventType: 'onSuccess' } }), {
        download: { uuid: m.msg.uuid, path: filled, progressInfo: { currentSize: size, totalSize: size } },
      });
      if (asked) await w.peer.event('onRecvNewMessage', { ...of, download: { eventType: 'onProgress', progressInfo: { totalSize: size } } });
      check(await w.peer.call('device.downloadMessage', { msgId: m.msgId }), { uuid: m.msg.uuid, path: filled, url: filled });
    }
  }],
  ['the history of a conversation', async w => {
    const made = [];
    for (const text of ['one', 'two', 'three']) made.push((await w.me.call('im.sendC2CTextMessage', { text, userId: w.peer.user })).msgId);
    await w.peer.event('onRecvNewMessage', { message: { msgId: made[2] } });
    for (const [a, other] of [[w.me, w.peer], [w.peer, w.me]]) {
      const { messageList } = check(await a.call('im.getC2CHistoryMessageList', { userId: other.user, count: 2 }), { messageList: list(message) });
      check(messageList.map(m => m.msgId), [made[2], made[1]]);
      if (messageList[0].elem !== messageList[0].msg) throw new Error('elem is not msg');
      const rest = await a.call('im.getC2CHistoryMessageList', { userId: other.user, count: 1, msgId: made[1] });
      check(rest.messageList.map(m => m.msgId), [made[0]]);
    }
  }],
  ['the history of a group', async w => {
    const { msgId } = await w.me.call('im.sendGroupTextMessage', { text: 'for the history', groupId: w.config.group });
    await w.peer.event('onRecvNewMessage', { message: { msgId } });
    const { messageList } = check(await w.peer.call('im.getGroupHistoryMessageList', { groupId: w.config.group, count: 5 }), { messageList: list(message) });
    check(messageList[0], { msgId, groupId: w.config.group, msg: { text: 'for the history' } });
    await w.peer.call('im.getGroupHistoryMessageList', { groupId: w.config.group, count: 5, msgId });
  }],
  ['a tip of a group is a message', async w => {
    await w.third.call('im.quitGroup', { groupId: w.config.group });
    check(await w.peer.event('onRecvNewMessage', { elemType: 9, message: { groupId: w.config.group, msg: { groupTip: { type: 3 } } } }), { message });
    await w.third.call('im.joinGroup', { groupId: w.config.group });
  }],
  ['what is read', async w => {
    const { msgId } = await w.me.call('im.sendC2CTextMessage', { text: 'read me', userId: w.peer.user });
    await w.peer.event('onRecvNewMessage', { message: { msgId } });
    await w.peer.call('im.markC2CMessageAsRead', { userId: w.me.user });
    check(await w.me.event('onRecvC2CReadReceipt', {}), { receiptList: v => list({ userId: filled, timestamp: int })(v) && v.some(r => r.userId === w.peer.user) });
    await w.until('read', async () => {
      const { messageList } = await w.me.call('im.getC2CHistoryMessageList', { userId: w.peer.user, count: 1 });
      return messageList[0].msgId === msgId && messageList[0].isPeerRead === true;
    });
    const { groupId } = await w.me.call('im.createGroup', { groupType: 'Work', groupName: 'to be read' });
    await w.me.call('im.inviteUserToGroup', { groupId, userIdList: [w.peer.user] });
    await w.me.call('im.sendGroupTextMessage', { groupId, text: 'read me' });
    const unread = n => w.peer.event('onConversationChanged', { conversationList: v => v.some(c => c.groupId === groupId && c.unreadCount === n) });
    await unread(1);
    w.peer.forget();
    await w.peer.call('im.markGroupMessageAsRead', { groupId });
    await unread(0);
  }],
  ['what is taken back', async w => {
    for (const [to, where] of [[{ receiver: w.peer.user }, { userId: w.peer.user }], [{ groupId: w.config.group }, { groupId: w.config.group }]]) {
      const { msgId } = await sent(w, 'im.createTextMessage', { text: 'oh' }, 1, { text: 'oh' }, to);
      await w.me.call('im.revokeMessage', { msgId, ...where });
      await w.peer.event('onRecvMessageRevoked', { msgID: msgId });
    }
  }],
  ['what is deleted, in both spellings', async w => {
    const ids = [];
    for (const text of ['a', 'b']) ids.push((await w.me.call('im.sendC2CTextMessage', { text, userId: w.peer.user })).msgId);
    await w.me.call('im.deleteMessageFromLocalStorage', { msgId: ids[0] });
    await w.me.call('im.deleteMessages', { msgIdList: [ids[1]] });
    const { messageList } = await w.me.call('im.getC2CHistoryMessageList', { userId: w.peer.user, count: 5 });
    if (messageList.some(m => ids.includes(m.msgId))) throw new Error('they are in the history');
  }],
  ['a message that is put into the history', async w => {
    const messageKey = await make(w, 'im.createTextMessage', { text: 'put there' });
    const { msgId } = check(await w.me.call('im.insertGroupMessageToLocalStorage', { groupId: w.config.group, sender: w.peer.user, messageKey }), { msgId: filled });
    const { messageList } = await w.me.call('im.getGroupHistoryMessageList', { groupId: w.config.group, count: 5 });
    check(messageList.find(m => m.msgId === msgId), { sender: w.peer.user, msg: { text: 'put there' } });
  }],
  ['the message with an id, and what is noted at it', async w => {
    const { msgId } = await w.peer.call('im.sendC2CTextMessage', { text: 'a note', userId: w.me.user });
    await w.me.event('onRecvNewMessage', { message: { msgId } });
    await w.me.call('device.setLocalCustomData', { msgId, localCustomData: 'played', localCustomInt: 7 });
    check(await w.me.call('device.getMessage', { msgId }), { message: { ...message, msgId, localCustomData: 'played', localCustomInt: 7 } });
    check(await w.peer.call('device.getMessage', { msgId }), { message: { localCustomData: '', localCustomInt: 0 } });
  }],
  ['a place that is not on earth', async w => {
    await w.me.refused(6017, 'im.createLocationMessage', { desc: 'nowhere', latitude: 91, longitude: 0 });
  }],
];
