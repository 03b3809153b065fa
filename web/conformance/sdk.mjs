// The family of the SDK and the login, and the listeners that all other cases need.
import { check, filled, int, str } from './world.mjs';

// listeners are [module, method, whether it is told events only].
export const listeners = [
  ['im', 'setSDKListener', false],
  ['im', 'setSimpleMsgListener', true],
  ['im', 'setSignalingListener', false],
  ['im', 'setAdvancedMsgListener', false],
  ['im', 'setConversationListener', false],
  ['im', 'setGroupListener', false],
  ['im', 'setFriendListener', false],
  ['calling', 'setCallingListener', true],
  ['device', 'setDeviceListener', false],
];

export async function listen(account) {
  await Promise.all(listeners.map(([module, method, eventsOnly]) => account.listen(module, method, eventsOnly)));
}

export async function online(world, account) {
  await world.until(`${account.user} online`, async () => (await account.call('device.getStatus')).link === 'up');
}

export const sdk = [
  ['init with a number and with digits', async w => {
    await w.me.call('im.init', { sdkAppId: w.config.sdkAppId });
    await w.me.call('im.init', { sdkAppId: String(w.config.sdkAppId), logLevel: 2 });
    await w.me.refused(6017, 'im.init', {});
  }],
  ['every listener is told that it stands', async w => {
    for (const a of w.accounts) await online(w, a);
    await Promise.all(w.accounts.map(listen));
  }],
  ['getVersion and getServerTime have one argument', async w => {
    check(await w.me.call('im.getVersion'), { version: filled });
    const { serverTime } = check(await w.me.call('im.getServerTime'), { serverTime: int });
    if (Math.abs(serverTime - Date.now() / 1000) > 60) throw new Error(`the hub's time is ${serverTime}`);
  }],
  ['login of who is logged in', async w => {
    await w.me.call('im.login', { userId: w.me.user, userSig: w.me.sig });
    check(await w.me.call('im.getLoginUser'), { userId: w.me.user });
    check(await w.me.call('im.getLoginStatus'), { loginStatus: 0 });
  }],
  ['login with a wrong userSig', async w => {
    await w.third.call('im.logout');
    const { code } = await w.third.call('im.login', { userId: w.third.user, userSig: 'eJw1zMEOgxxxxxeH3CNMZw_' }).then(() => ({}), e => e.err);
    check(code, int, 'code');
    check(await w.third.call('im.getLoginStatus'), { loginStatus: 2 });
    await w.third.call('im.login', { userId: w.third.user, userSig: w.third.sig });
    await online(w, w.third);
  }],
  ['logout and login raise the events of the connection', async w => {
    w.me.forget();
    await w.me.call('im.logout');
    check(await w.me.call('im.getLoginUser'), { userId: str });
    check(await w.me.call('im.getLoginStatus'), { loginStatus: 2 });
    await w.me.call('im.login', { userId: w.me.user, userSig: w.me.sig });
    await w.me.event('onConnecting', {}, 'setSDKListener');
    await w.me.event('onConnectSuccess', {}, 'setSDKListener');
    await online(w, w.me);
  }],
];

export const sdkEnd = [
  ['the link breaks and comes back', async w => {
    for (const a of w.accounts) a.forget();
    await w.control('stop-hub');
    await w.me.event('onConnectFailed', { code: int, msg: filled }, 'setSDKListener');
    // What is sent meanwhile waits, is shown, and is told of.
    const { msgId } = check(await w.me.call('im.sendC2CTextMessage', { text: 'while the link is down', userId: w.peer.user }), { msgId: filled, queued: true });
    check(await w.me.call('device.getQueue'), { items: n => n > 0, list: v => v.some(i => i.msgId === msgId) });
    await w.control('start-hub');
    await w.me.event('onMessageStatusChanged', { msgId, status: 1 }, 'setSimpleMsgListener');
    await w.me.event('onMessageStatusChanged', { msgId, status: 1 }, 'setAdvancedMsgListener');
    await w.peer.event('onRecvC2CTextMessage', { msgId });
    await w.me.event('onSyncServerStart', {}, 'setConversationListener');
    await w.me.event('onSyncServerFinish', {}, 'setConversationListener');
    for (const a of w.accounts) await online(w, a);
  }],
  ['a board starts anew, and its listeners go on where they were', async w => {
    w.third.forget();
    await w.control('stop-board', { user: w.third.user });
    const { msgId } = await w.me.call('im.sendC2CTextMessage', { text: 'while the board is down', userId: w.third.user });
    await w.control('start-board', { user: w.third.user });
    await w.third.event('onRecvC2CTextMessage', { msgId });
    await online(w, w.third);
    const next = await w.me.call('im.sendC2CTextMessage', { text: 'while it is up', userId: w.third.user });
    await w.third.event('onRecvC2CTextMessage', { msgId: next.msgId }); // whatever was before is there
    if (w.third.has('onRecvC2CTextMessage', { msgId })) throw new Error('it came twice');
  }],
  ['the operator ends the session', async w => {
    await w.control('kick', { user: w.third.user });
    await w.third.event('onKickedOffline', { code: 6208, msg: filled });
    await w.third.call('im.login', { userId: w.third.user, userSig: w.third.sig });
    await online(w, w.third);
  }],
  ['a userSig runs out', async w => {
    const userSig = await w.control('sig', { user: w.third.user, expire: '5s' });
    await w.third.call('im.logout');
    await w.third.call('im.login', { userId: w.third.user, userSig });
    await w.third.event('onUserSigExpired', { code: int, msg: filled });
    await w.third.call('im.login', { userId: w.third.user, userSig: w.third.sig });
    await online(w, w.third);
  }],
  ['destroy refuses everything until init', async w => {
    await w.me.call('im.destroy');
    await w.me.refused(6013, 'im.getLoginUser');
    await w.me.call('im.init', { sdkAppId: w.config.sdkAppId });
    await w.me.call('im.login', { userId: w.me.user, userSig: w.me.sig });
    await online(w, w.me);
  }],
  ['a listener that is removed is told nothing', async w => {
    for (const [module, method] of listeners) {
      if (method !== 'setAdvancedMsgListener') await w.peer.call(`${module}.${method.replace('set', 'remove')}`);
    }
    w.peer.forget();
    // The first changes the conversation before the second comes.
    for (const text of ['for one listener', 'and once more']) {
      const { msgId } = await w.me.call('im.sendC2CTextMessage', { text, userId: w.peer.user });
      await w.peer.event('onRecvNewMessage', { message: { msgId } }, 'setAdvancedMsgListener');
      await w.until('listed', async () => (await w.peer.call('im.getConversationList', { nextSeq: 0, count: 1 })).conversationList[0]?.lastMessage?.msgId === msgId);
    }
    if (w.peer.has('onRecvC2CTextMessage', {}) || w.peer.has('onConversationChanged', {})) throw new Error('a listener that was removed was told');
    await w.peer.call('im.removeAdvancedMsgListener');
    await listen(w.peer);
  }],
];
