// Programs as they are written in TypeScript, to hold herald.d.ts to: tsc --strict
// compiles this file and nothing runs it. A line under @ts-expect-error must not compile.
import { calling, device, Herald, HeraldError, Im, type Failure, type MessageInfo, type SimpleEvent } from '../herald';

const shown: string[] = [];

Im.login({ userId: 'test001', userSig: 'x' }, function (ret, err) {
  if (ret) shown.push(String(ret.status));
  else if (err) shown.push(err.msg, String(err.code));
});
// @ts-expect-error: userSig is missing
Im.login({ userId: 'test001' });
// @ts-expect-error: no such method
Im.logIn({});

Im.init({ sdkAppId: 1400000001 });
Im.init({ sdkAppId: '1400000001', logLevel: 2 });
Im.logout({}, ret => ret?.status);
Im.logout();
Im.getServerTime({}, ret => { if ('serverTime' in ret) shown.push(String(ret.serverTime)); else shown.push(ret.msg); });

Im.sendC2CCustomMessage({ customData: 'x', userId: 'test002' });
Im.sendC2CCustomMessage({ customMsg: 'x', userId: 'test002' }, (ret, err) => { shown.push(ret ? ret.msgId : (err as Failure).msg); });
Im.sendGroupTextMessage({ text: 'x', groupId: 'g' });
Im.createSoundMessage({ soundPath: '/a', soundDuration: 5 });
Im.createSoundMessage({ path: new Blob([]), duration: 5 });
Im.setConversationDraft({ conversationID: 'c2c_x', draftText: '' });
Im.deleteMessages({ msgIdList: ['m'] });

Im.setSimpleMsgListener({}, ret => {
  const event: SimpleEvent | undefined = ret;
  if (event?.eventType === 'onRecvC2CTextMessage') shown.push(event.text, event.sender.userId);
  // @ts-expect-error: customData is of another event
  else if (event?.eventType === 'onRecvGroupTextMessage') shown.push(event.customData);
});
Im.setAdvancedMsgListener({}, ret => {
  if (ret && 'eventType' in ret && ret.eventType === 'onRecvNewMessage') shown.push(ret.message.elem.text ?? '');
});
// @ts-expect-error: a listener takes events
Im.setSDKListener({});

async function main(): Promise<MessageInfo[]> {
  const herald = new Herald({ url: 'http://door:8443', token: async () => 'x', position: { file: '/p' }, onGap: gap => shown.push(gap.reason) });
  Herald.connect({ socketPath: '/run/herald/herald.sock' });
  try {
    const { messageKey } = await herald.Im.createImageMessage({ img: new Uint8Array(3) });
    await herald.Im.sendMessage({ receiver: 'test002', messageKey, onlineUserOnly: true });
    const { upload } = await Im.uploadFile('/a/path');
    await Im.createFileMessage({ filePath: upload });
  } catch (e) {
    if (e instanceof HeraldError) shown.push(String(e.code), e.msg);
  }
  await calling.call({ userId: 'test002', type: 1 });
  await calling.startRemoteView({ userId: 'test002', rect: { x: 0, y: 0, w: 320, h: 240 }, element: document.createElement('video') });
  // @ts-expect-error: isFront is missing
  await calling.openCamera({});
  const { link } = await device.getStatus();
  shown.push(link);
  await herald.close();
  return (await Im.getC2CHistoryMessageList({ userId: 'test002', count: 5 })).messageList;
}

void main();
