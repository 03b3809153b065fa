package hub

import (
	"context"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// The hub looks for orders this often. After one it looks sooner for a while: an
// import gives many, each as soon as the last is answered.
const (
	orderEvery = 250 * time.Millisecond
	orderSoon  = 10 * time.Millisecond
	orderLooks = 25
)

// obey carries out the operator's orders until ctx ends.
func (h *Hub) obey(ctx context.Context) {
	last, failing, soon := h.ordered, false, 0
	timer := time.NewTimer(orderEvery)
	defer timer.Stop()
	for {
		read, cancel := h.store.ReadContext(ctx)
		orders, err := h.store.Orders(read, last)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			h.log.Error("the operator's orders cannot be read", "err", err)
		}
		failing = err != nil
		for _, o := range orders {
			last = o.ID
			if o.App == h.app {
				h.carryOut(o)
			}
		}
		wait := orderEvery
		if len(orders) > 0 {
			soon = orderLooks
		}
		if soon > 0 {
			soon, wait = soon-1, orderSoon
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) carryOut(o store.Order) {
	all := func(*login) bool { return true }
	switch o.Kind {
	case store.OrderKick:
		h.dismiss(protocol.Bye{Code: protocol.CodeLoginKickedOffByOther, Msg: "the operator ended the session", Operator: true}, h.table.end(o.User, all))
	case store.OrderBlock:
		h.dismiss(protocol.Bye{Code: protocol.CodeSvrAccountBlacklist, Msg: "the account " + o.User + " is blocked"}, h.table.end(o.User, all))
		if h.relay != nil {
			h.relay.End(o.User)
		}
		if h.files != nil {
			h.files.End(o.User)
		}
	case store.OrderKey:
		h.dismiss(protocol.Bye{Code: protocol.CodeSvrAccountInvalidUserSig, Msg: "the key that made the UserSig is no longer in force: get a new UserSig"},
			h.table.end("", func(l *login) bool { return l.keyID == o.Arg || l.keyID == "" }))
		if h.files != nil {
			h.files.EndKey(o.Arg)
		}
	case store.OrderOperate:
		h.operate(o)
	default:
		h.log.Warn("unknown order: a newer herald-hub gave it", "kind", o.Kind)
	}
}

// expire ends sessions whose UserSig runs out, until ctx ends.
func (h *Hub) expire(ctx context.Context) {
	// Timers follow a clock of their own, so the hub's is looked at again at the
	// latest after this.
	const longest = time.Minute
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		gone, next := h.table.endExpired(h.cfg.Now())
		h.dismiss(protocol.Bye{Code: protocol.CodeSvrAccountUserSigExpired, Msg: "the UserSig has expired: get a new one"}, gone)
		if next == 0 || next > longest {
			next = longest
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-h.table.sooner:
		case <-ctx.Done():
			return
		}
	}
}
