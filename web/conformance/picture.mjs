// What a page shows of a call. In Node there is nothing to see.

export const canWatch = typeof document === 'object';

// watched waits until pictures come in a <video> that lies at rect, without sound.
export async function watched(w, what, rect) {
  await w.until(`a picture of ${what}`, () => [...document.querySelectorAll('video')].some(v => {
    const r = v.getBoundingClientRect();
    const lies = r.x === rect.x && r.y === rect.y && r.width === rect.w && r.height === rect.h;
    return lies && getComputedStyle(v).position === 'fixed' && v.muted && v.videoWidth > 0 && (v.getVideoPlaybackQuality?.().totalVideoFrames ?? 1) > 3;
  }));
}
