// The family of conversations.
import { message } from './advanced.mjs';
import { bool, check, filled, int, list, maybe, str } from './world.mjs';

const conversationFields = {
  type: int, conversationId: filled, userId: maybe(str), groupId: maybe(str), showName: str, faceUrl: str, unreadCount: int, lastMessage: maybe(message), recvOpt: int, draftText: str,
};

const has = (id, more = {}) => v => Array.isArray(v) && v.some(c => c.conversationId === id && Object.entries(more).every(([k, x]) => c[k] === x));

export const conversation = [
  ['the list, by pages', async w => {
    let nextSeq = 0;
    const all = [];
    for (let finished = false; !finished;) {
      const page = check(await w.me.call('im.getConversationList', { nextSeq, count: 1 }), { nextSeq: int, isFinished: bool, conversationList: list(conversationFields) });
      all.push(...page.conversationList);
      finished = page.isFinished;
      nextSeq = page.nextSeq;
      if (all.length > 50) throw new Error('the list does not end');
    }
    for (const id of [`c2c_${w.peer.user}`, `group_${w.config.group}`]) {
      if (all.filter(c => c.conversationId === id).length !== 1) throw new Error(`${id} is not there once: ${JSON.stringify(all)}`);
    }
  }],
  ['a new conversation, and one that changes', async w => {
    await w.third.call('im.sendC2CTextMessage', { text: 'hello', userId: w.peer.user });
    check(await w.peer.event('onNewConversation', { conversationList: has(`c2c_${w.third.user}`) }), { conversationList: list(conversationFields) });
    await w.third.call('im.sendC2CTextMessage', { text: 'hello again', userId: w.peer.user });
    check(await w.peer.event('onConversationChanged', { conversationList: has(`c2c_${w.third.user}`, { unreadCount: 2 }) }), { conversationList: list(conversationFields) });
  }],
  ['a draft, in both spellings', async w => {
    for (const field of ['conversationId', 'conversationID']) {
      await w.me.call('im.setConversationDraft', { [field]: `c2c_${w.peer.user}`, draftText: `by ${field}` });
      await w.me.event('onConversationChanged', { conversationList: has(`c2c_${w.peer.user}`, { draftText: `by ${field}` }) });
    }
    await w.me.call('im.setConversationDraft', { conversationId: `c2c_${w.peer.user}`, draftText: '' });
  }],
  ['a conversation that is deleted', async w => {
    await w.peer.call('im.deleteConversation', { conversationId: `c2c_${w.third.user}` });
    await w.peer.event('onConversationDeleted', { conversationList: has(`c2c_${w.third.user}`) });
    const { messageList } = await w.peer.call('im.getC2CHistoryMessageList', { userId: w.third.user, count: 5 });
    check(messageList, []);
  }],
];
