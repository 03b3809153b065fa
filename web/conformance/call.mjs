// The family of calls.
import { canWatch, watched } from './picture.mjs';
import { online } from './sdk.mjs';
import { bool, check, filled, int, list, str } from './world.mjs';

const video = 1, voice = 2;

async function ring(w, type) {
  for (const a of w.accounts) a.forget();
  await w.me.call('calling.call', { userId: w.peer.user, type });
  check(await w.peer.event('onInvited', { userId: w.me.user }), {
    userIdList: [w.peer.user], type, groupId: str, isFromGroup: false,
  });
}

async function connect(w, type) {
  await ring(w, type);
  await w.peer.call('calling.accept');
  await w.me.event('onUserEnter', { userId: w.peer.user });
  await w.peer.event('onUserEnter', { userId: w.me.user });
}

async function over(w, a, reason) {
  check(await a.event('onCallEnd', {}), { reason, roomId: int, seconds: int });
  await w.until('idle', async () => (await a.call('device.getCall')).state === 'idle');
}

const cases = [
  ['init and login', async w => {
    await w.me.call('calling.init');
    await w.me.call('calling.login', { sdkAppId: w.config.sdkAppId, userId: w.me.user, userSig: w.me.sig });
    await online(w, w.me);
    check(await w.me.call('device.getMediaDevices'), { list: list({ kind: filled, device: str, formats: list(str) }) });
    check(await w.me.call('device.getIceServers'), { iceServers: list({ urls: list(filled) }), ttlSeconds: int });
  }],
  ['a call with pictures', async w => {
    await connect(w, video);
    check(await w.me.event('onUserAudioAvailable', { userId: w.peer.user }), { isAudioAvailable: bool });
    check(await w.me.event('onUserVideoAvailable', { userId: w.peer.user, isVideoAvailable: true }), {});
    check(await w.me.event('onUserVoiceVolume', { userId: w.peer.user }), { volume: int });
    const rect = { x: 10, y: 20, w: 320, h: 240 };
    check(await w.me.call('calling.startRemoteView', { userId: w.peer.user, rect }), { url: filled });
    if (canWatch) await watched(w, 'remote', rect);
    check(await w.me.call('calling.openCamera', { isFront: true, rect: { x: 340, y: 20, w: 160, h: 120 } }), { url: filled });
    if (canWatch) await watched(w, 'own', { x: 340, y: 20, w: 160, h: 120 });
    await w.me.call('calling.switchCamera', { isFront: false });
    await w.me.call('calling.switchCamera', { isFront: true });
    await w.me.call('calling.setMicMute', { isMute: true });
    check(await w.peer.event('onUserAudioAvailable', { userId: w.me.user, isAudioAvailable: false }), {});
    await w.me.call('calling.setMicMute', { isMute: false });
    for (const isHandsFree of [true, false]) {
      await w.me.call('calling.setHandsFree', { isHandsFree });
      check(await w.me.call('device.getCall'), { handsFree: isHandsFree });
    }
    await w.me.call('calling.closeCamera');
    check(await w.peer.event('onUserVideoAvailable', { userId: w.me.user, isVideoAvailable: false }), {});
    await w.me.call('calling.stopRemoteView', { userId: w.peer.user });
    if (canWatch) await w.until('no picture left', () => document.querySelectorAll('video').length === 0);
    await w.me.call('calling.hangup');
    check(await w.peer.event('onUserLeave', { userId: w.me.user }), {});
    for (const a of [w.me, w.peer]) await over(w, a, 'hangup');
  }],
  ['a picture in an element of the page goes when the other one hangs up', async w => {
    if (!canWatch) return; // Node has no page
    await connect(w, video);
    await w.me.event('onUserVideoAvailable', { userId: w.peer.user, isVideoAvailable: true });
    const element = document.body.appendChild(document.createElement('video'));
    const url = check(await w.me.call('calling.startRemoteView', { userId: w.peer.user, element }), { url: filled }).url;
    await w.until('a picture', () => element.videoWidth > 0 && element.getVideoPlaybackQuality().totalVideoFrames > 3);
    check(await w.me.call('calling.startRemoteView', { userId: w.peer.user, element }), { url }); // again changes nothing
    let ended;
    const gone = new Promise(done => { ended = done; });
    const second = w.me.herald.view(url, { rect: { x: 0, y: 400, w: 100, h: 80 }, ended });
    await second.shown();
    await w.until('a second picture', () => second.element.videoWidth > 0);
    check(document.querySelectorAll('video').length, 2);
    await w.peer.call('calling.hangup');
    await gone;
    await w.until('no picture', () => element.srcObject === null);
    check(document.querySelectorAll('video.herald-view').length, 0);
    if (!element.isConnected) throw new Error('the element was the page\'s, and it was taken away');
    element.remove();
    for (const a of [w.me, w.peer]) await over(w, a, 'hangup');
  }],
  ['pictures that are moved, taken away and wanted again at once', async w => {
    if (!canWatch) return;
    await connect(w, video);
    await w.me.event('onUserVideoAvailable', { userId: w.peer.user, isVideoAvailable: true });
    const at = x => ({ x, y: 30, w: 320, h: 240 }), start = x => w.me.call('calling.startRemoteView', { userId: w.peer.user, rect: at(x) });
    const { url } = await start(10);
    await watched(w, 'remote', at(10));
    document.querySelector('video').classList.add('of-the-page');
    await start(20);
    await watched(w, 'remote, moved', at(20));
    check(document.querySelectorAll('video').length, 1);
    const stopped = w.me.call('calling.stopRemoteView', { userId: w.peer.user });
    await Promise.all([stopped, start(30)]);
    await watched(w, 'remote, anew', at(30));
    check(document.querySelectorAll('video').length, 1);
    // One that is stopped before it is shown has not failed.
    let told;
    const ended = new Promise(done => { told = done; });
    const early = w.me.herald.view(url, { rect: at(40), ended: why => told(why ?? 'no reason') });
    const refused = early.shown().then(() => 'shown', e => e.code);
    await early.stop();
    check([await ended, await refused], ['no reason', 7009]);
    await w.me.call('calling.hangup');
    for (const a of [w.me, w.peer]) await over(w, a, 'hangup');
    check(document.querySelectorAll('video').length, 0);
  }],
  ['a picture of nobody', async w => {
    const err = await w.me.call('calling.startRemoteView', { userId: w.peer.user, rect: { x: 0, y: 0, w: 9, h: 9 } }).then(() => null, e => e.err);
    check(err, { code: int, msg: filled });
    if (canWatch) {
      await w.me.herald.view('/v1/whep/remote/nobody', { rect: {} }).shown().then(() => { throw new Error('it is shown'); }, e => check(e.toJSON(), { code: int, msg: filled }));
      check(document.querySelectorAll('video').length, 0);
    }
  }],
  ['a call that is rejected', async w => {
    await ring(w, voice);
    await w.peer.call('calling.reject');
    check(await w.me.event('onReject', {}), { userId: w.peer.user });
    for (const a of [w.me, w.peer]) await over(w, a, 'rejected');
  }],
  ['a call that is taken back', async w => {
    await ring(w, voice);
    await w.me.call('calling.hangup');
    check(await w.peer.event('onCallingCancel', {}), { userId: w.me.user });
    for (const a of [w.me, w.peer]) await over(w, a, 'cancelled');
  }],
  ['a call that nobody answers', async w => {
    for (const a of w.accounts) a.forget();
    await w.me.call('calling.call', { userId: w.peer.user, type: voice, timeout: 1 });
    check(await w.me.event('onNoResp', {}), { userId: w.peer.user });
    await w.peer.event('onCallingTimeOut', {});
    for (const a of [w.me, w.peer]) await over(w, a, 'noAnswer');
  }],
  ['a call to who is in one', async w => {
    await connect(w, voice);
    await w.third.call('calling.call', { userId: w.peer.user, type: voice });
    check(await w.third.event('onLineBusy', {}), { userId: w.peer.user });
    await over(w, w.third, 'busy');
    await w.me.call('calling.hangup');
    for (const a of [w.me, w.peer]) await over(w, a, 'hangup');
  }],
  ['a call of a group', async w => {
    for (const a of w.accounts) a.forget();
    await w.me.call('calling.groupCall', { userIdList: [w.peer.user, w.third.user], type: voice, groupId: w.config.group });
    for (const a of [w.peer, w.third]) {
      check(await a.event('onInvited', { userId: w.me.user }), { userIdList: list(filled), type: voice, groupId: w.config.group, isFromGroup: true });
    }
    await w.third.call('calling.reject');
    check(await w.me.event('onGroupCallInviteeListUpdate', {}), { userIdList: [w.peer.user] });
    await w.peer.call('calling.accept');
    await w.me.event('onUserEnter', { userId: w.peer.user });
    await w.me.call('calling.hangup');
    await over(w, w.me, 'hangup');
    await over(w, w.peer, 'hangup');
  }],
  ['a camera that fails in a call', async w => {
    for (const a of w.accounts) a.forget();
    await w.third.call('calling.call', { userId: w.peer.user, type: video });
    await w.peer.event('onInvited', { userId: w.third.user });
    await w.peer.call('calling.accept');
    await w.third.event('onUserEnter', { userId: w.peer.user });
    await w.until('the camera runs', async () => (await w.third.call('device.getCall')).camera?.state === 'running');
    await w.third.call('calling.switchCamera', { isFront: false }); // there is none behind the configuration
    check(await w.third.event('onMediaChanged', { kind: 'camera', state: 'failed' }), { error: filled });
    check(await w.third.call('device.getCall'), { state: 'connected', camera: { state: 'failed', error: filled } });
    await w.third.call('calling.switchCamera', { isFront: true });
    check(await w.third.event('onMediaChanged', { kind: 'camera', state: 'running' }), {});
    await w.third.call('calling.hangup');
    for (const a of [w.third, w.peer]) await over(w, a, 'hangup');
  }],
  ['what does not fit the state is refused', async w => {
    for (const method of ['accept', 'reject', 'hangup']) {
      const err = await w.me.call(`calling.${method}`).then(() => { throw new Error(`${method} without a call`); }, e => e.err);
      check(err, { code: int, msg: filled }, method);
    }
  }],
  ['destroy and logout', async w => {
    await w.me.call('calling.destroy');
    await w.me.call('calling.init');
    await w.me.call('calling.logout');
    check(await w.me.call('im.getLoginStatus'), { loginStatus: 2 });
    await w.me.call('im.login', { userId: w.me.user, userSig: w.me.sig });
    await online(w, w.me);
  }],
];

// A case that fails in a call leaves none to the next one.
export const call = cases.map(([name, body]) => [name, async w => {
  try {
    await body(w);
  } catch (e) {
    for (const a of w.accounts) await a.call('calling.hangup').catch(() => {}); // most are in no call
    if (canWatch) for (const v of document.querySelectorAll('video')) v.remove();
    throw e;
  }
}]);
